"""The dedup job: find the groups of near-duplicate rows in a table of vectors or texts."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.join import near_duplicates
from st_spark.join.earlier_rows import find_new_groups
from st_spark.join.kept_rows import check_order, without_duplicates
from st_spark.join.options import Request
from st_spark.steps import bad_vectors, output_table
from st_spark.steps.vector_input import Source, VectorTable, open_tables, types_of_second
from st_spark.tables.metadata import add_metadata, check_comparable, vector_metadata
from st_spark.tables.order import parse_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from st_spark.join.near_duplicates import DuplicateGroups
    from st_spark.specs.pair_jobs import DedupJob
    from st_spark.steps.timings import Timings
    from st_spark.tables.order import SortKey


def run(spark: "SparkSession", job: "DedupJob", timings: "Timings") -> dict[str, Any]:
    """Run a dedup job.

    Returns:
        input: path, rows, kept (rows in the output), set_aside (other rows, by reason) and dimension;
        groups: all, of_several (groups with several rows), and largest (rows of the largest group). A group whose
            representative is an earlier row counts for largest alone;
        duplicates: rows that are not the representative of their group;
        copies: duplicates whose vector equals the vector of another row of the input exactly; duplicates of earlier
            rows are not among them;
        with a table of earlier rows also against, as input, and known: duplicates of earlier rows;
        method, score, threshold, linkage, with keys null_keys (rows that are alone because a key is null), and more
            about the method, such as the recall of "ivf";
        model: the model that made the vectors, if known;
        output: path and format, and the version of a Delta table; kept: the same and rows, if the input without its
            duplicates is written.
    """
    with ExitStack() as stack:
        output = stack.enter_context(output_table.opened(spark, job))
        keep = () if job.keep is None else parse_order(job.keep, "keep")
        table, *earlier = open_tables(spark, job, timings, _sources(spark, job, keep), stack)
        check_order(table.df, keep, job.input)
        if output.kept is not None:
            output.kept.check(table.rows.schema, table.source)
        with timings("survey", "Counting rows and copies"):
            planned = _find(job, table, earlier, keep)
        origin = {"vectors": vector_metadata(table.metadata), "on": list(job.keys) or None}
        groups = add_metadata(planned.groups, "score", origin)
        output.writer.check(groups.schema, "score")
        sides = [(table, planned.stats, job.id_column)]
        rejected = stack.enter_context(bad_vectors.found(job, sides, planned.facts["score"]))
        output.check_rejected(rejected)
        if output.kept is not None:  # the rows to keep are found by the groups, which are computed once
            groups = groups.persist(StorageLevel.DISK_ONLY)
            stack.callback(groups.unpersist)
        counts = Observation("st_spark")
        observed = groups.observe(
            counts,
            sf.count(sf.lit(1)).alias("rows"),
            sf.count_if("representative").alias("all"),
            sf.count_if(sf.col("representative") & (sf.col("size") > 1)).alias("of_several"),
            sf.max("size").alias("largest"),
        )
        kept, tasks = planned.stats.kept, planned.facts.get("tasks", 1)
        text = f"Comparing {kept - planned.copies:,} rows"
        counted = output.write(observed, counts, "rows", timings, "group_and_write", text, kept, tasks)
        more = output.write_rejected(rejected) | output.write_kept(
            without_duplicates(table.rows, groups, job.id_column)
        )
    return {
        "input": table.describe(planned.stats),
        **({"against": earlier[0].describe(planned.earlier)} if planned.earlier else {}),
        "groups": {name: counted[name] for name in ("all", "of_several", "largest")},
        "duplicates": counted["rows"] - counted["all"],
        "copies": planned.copies,
        **planned.facts,
        "model": table.model,
        "output": output.describe(),
        **more,
    }


def _sources(spark: "SparkSession", job: "DedupJob", keep: "Sequence[SortKey]") -> list[Source]:
    """Return the input, and the table of earlier rows if there is one."""
    names = (job.id_column, *job.keys)
    more = (*names, *(key.name for key in keep))
    sources = [Source(job.input, job.input_format, more, job.column, job.text_column, job.schema, job.where)]
    if job.against is not None:
        types = types_of_second(spark, job, job.against, job.against_format, None)
        condition = (job.against_where, "against_where")
        sources.append(Source(job.against, job.against_format, names, job.column, job.text_column, types, *condition))
    return sources


def _find(
    job: "DedupJob", table: VectorTable, earlier: "Sequence[VectorTable]", keep: "Sequence[SortKey]"
) -> "DuplicateGroups":
    request = Request(None, job.threshold, table.score(job.score), job.method, job.recall, job.max_pairs)
    if not earlier:
        return near_duplicates.find_groups(
            table.df,
            request,
            job.linkage,
            id_column=job.id_column,
            vector=table.vector,
            on=job.keys,
            where=job.input,
            keep=keep,
        )
    check_comparable(table.metadata, earlier[0].metadata, (table.where, earlier[0].where))
    columns = [(job.id_column, each.vector) for each in (table, earlier[0])]
    return find_new_groups(
        table.df,
        earlier[0].df,
        request,
        job.linkage,
        columns=(columns[0], columns[1]),
        on=job.keys,
        keep=keep,
        names=(table.where, earlier[0].where),
    )

"""The dedup job: find the groups of near-duplicate rows in a table of vectors or texts."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.jobs import bad_vectors, output_table
from st_spark.jobs.vector_input import Source, VectorTable, open_tables
from st_spark.join import near_duplicates
from st_spark.join.options import Request
from st_spark.tables.metadata import add_metadata, vector_metadata

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.jobs.timings import Timings
    from st_spark.join.near_duplicates import DuplicateGroups
    from st_spark.specs.jobs import DedupJob


def run(spark: "SparkSession", job: "DedupJob", timings: "Timings") -> dict[str, Any]:
    """Run a dedup job.

    Returns:
        input: path, rows, kept (rows in the output), set_aside (other rows, by reason) and dimension;
        groups: all, of_several (groups with several rows), and largest (rows of the largest group);
        duplicates: rows that are not the representative of their group;
        copies: duplicates whose vector equals the vector of another row exactly;
        method, score, threshold, linkage, with keys null_keys (rows that are alone because a key is null), and more
            about the method, such as the recall of "ivf";
        model: the model that made the vectors, if known;
        output: path and format, and the version of a Delta table.
    """
    names = (job.id_column, *job.keys)
    with ExitStack() as stack:
        output = stack.enter_context(output_table.opened(spark, job))
        source = Source(job.input, job.input_format, names, job.column, job.text_column, job.schema)
        [table] = open_tables(spark, job, timings, [source], stack)
        with timings("survey", "Counting rows and copies"):
            planned = _find(job, table)
        origin = {"vectors": vector_metadata(table.metadata), "on": list(job.keys) or None}
        groups = add_metadata(planned.groups, "score", origin)
        output.writer.check(groups.schema, "score")
        sides = [(table, planned.stats, job.id_column)]
        rejected = stack.enter_context(bad_vectors.found(job, sides, planned.facts["score"]))
        output.check_rejected(rejected)
        counts = Observation("st_spark")
        groups = groups.observe(
            counts,
            sf.count(sf.lit(1)).alias("rows"),
            sf.count_if("representative").alias("all"),
            sf.count_if(sf.col("representative") & (sf.col("size") > 1)).alias("of_several"),
            sf.max("size").alias("largest"),
        )
        kept, tasks = planned.stats.kept, planned.facts.get("tasks", 1)
        text = f"Comparing {kept - planned.copies:,} rows"
        counted = output.write(groups, counts, "rows", timings, "group_and_write", text, kept, tasks)
        more = output.write_rejected(rejected)
    return {
        "input": table.describe(planned.stats),
        "groups": {name: counted[name] for name in ("all", "of_several", "largest")},
        "duplicates": counted["rows"] - counted["all"],
        "copies": planned.copies,
        **planned.facts,
        "model": table.model,
        "output": output.describe(),
        **more,
    }


def _find(job: "DedupJob", table: VectorTable) -> "DuplicateGroups":
    request = Request(None, job.threshold, table.score(job.score), job.method, job.recall, job.max_pairs)
    return near_duplicates.find_groups(
        table.df, request, job.linkage, id_column=job.id_column, vector=table.vector, on=job.keys, where=job.input
    )

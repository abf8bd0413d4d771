"""The join job: find the similar pairs of two tables of vectors or texts, or of one table with itself."""

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.join import similarity_join
from st_spark.join.inputs import table_pair
from st_spark.join.options import Request
from st_spark.join.pair_columns import add_columns
from st_spark.join.vector_index import lists_of
from st_spark.steps import bad_vectors, output_table
from st_spark.steps.vector_input import Source, VectorTable, open_tables, types_of_second
from st_spark.tables.metadata import add_metadata, check_comparable, vector_metadata

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.specs.pair_jobs import JoinJob
    from st_spark.steps.timings import Timings

# Neighbours of each left row if the job gives neither k nor a threshold.
_K = 10


def run(spark: "SparkSession", job: "JoinJob", timings: "Timings") -> dict[str, Any]:
    """Run a join job.

    Returns:
        left, right: path, rows, kept (joined rows), set_aside (other rows, by reason) and dimension; without right if
            the table was joined with itself;
        pairs: rows of the output; pairs_per_second;
        method, score, k, threshold, and more about the method: with a threshold and no k expected_pairs, if they were
            estimated, and best_per_row, if only the best pairs were kept; the recall of "ivf";
        model: the model that made the vectors, if known;
        output: path and format, and the version of a Delta table.
    """
    with ExitStack() as stack:
        output = stack.enter_context(output_table.opened(spark, job))
        left, right = _open(spark, job, timings, stack)
        with timings("survey", "Counting rows"):
            joined = _join(job, left, right)
        origin = {"left": vector_metadata(left.metadata), "right": right and vector_metadata(right.metadata)}
        pairs = add_metadata(joined.pairs, "score", {**origin, "on": list(job.keys) or None})
        columns, (ours, theirs) = job.added_columns, (left, right or left)
        pairs = add_columns(pairs, "left", ours.df, job.id_column, columns[0])
        pairs = add_columns(pairs, "right", theirs.df, job.right_id, columns[1])
        output.writer.check(pairs.schema, "score")
        sides: list[bad_vectors.Side] = [(left, joined.stats.left, job.id_column)]
        if right and joined.stats.right:
            sides.append((right, joined.stats.right, job.right_id))
        rejected = stack.enter_context(bad_vectors.found(job, sides, joined.facts["score"]))
        output.check_rejected(rejected)
        counts = Observation("st_spark")
        pairs = pairs.observe(counts, sf.count(sf.lit(1)).alias("pairs"))
        stats = joined.stats
        rows, tasks = stats.left.kept, joined.facts.get("tasks", 1)
        text = f"Joining {rows:,} rows with {(stats.right or stats.left).kept:,}"
        count = output.write(pairs, counts, "pairs", timings, "join_and_write", text, rows, tasks)["pairs"]
        more = output.write_rejected(rejected)
    return {
        "left": left.describe(stats.left),
        **({"right": right.describe(stats.right)} if right and stats.right else {}),
        "pairs": count,
        "pairs_per_second": timings.rate(count, "join_and_write"),
        **joined.facts,
        "model": left.model,
        "output": output.describe(),
        **more,
    }


def _open(
    spark: "SparkSession", job: "JoinJob", timings: "Timings", stack: ExitStack
) -> tuple[VectorTable, VectorTable | None]:
    """Open the tables."""
    columns, keys = job.added_columns, job.keys
    named = (job.id_column, *keys, *columns[0], *(columns[1] if job.right is None else ()))
    sources = [
        Source(job.left, job.left_format, named, job.column, job.text_column, job.schema, job.left_where, "left_where")
    ]
    if job.right is not None:
        named = (job.right_id, *keys, *columns[1])
        text = job.right_text_column or job.text_column
        types = types_of_second(spark, job, job.right, job.right_format, job.right_schema)
        sources.append(
            Source(job.right, job.right_format, named, job.right_column, text, types, job.right_where, "right_where")
        )
    left, *right = open_tables(spark, job, timings, sources, stack)
    return left, right[0] if right else None


def _join(job: "JoinJob", left: VectorTable, right: VectorTable | None) -> similarity_join.PlannedJoin:
    columns = {"left": (job.id_column, left.vector)}
    if right is not None:
        columns["right"] = (job.right_id, right.vector)
        check_comparable(left.metadata, right.metadata, (left.where, right.where))
    k = _K if job.k is None and job.threshold is None else job.k
    score = left.score(job.score)
    request = Request(k, job.threshold, score, job.method, job.recall, job.max_pairs, job.overflow)
    if job.method == "ivf" and right is not None:
        request = replace(request, quantizer=lists_of(right.rows, right.vector, score, right.where))
    sides = table_pair(left.df, None if right is None else right.df, columns, job.keys)
    return similarity_join.plan_join(sides, request)

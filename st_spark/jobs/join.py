"""The join job: two tables of vectors or texts in, a table of their similar pairs out."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.jobs.vector_input import Source, check_same_model, opened
from st_spark.join import similarity_join
from st_spark.join.inputs import table_pair
from st_spark.join.options import Request
from st_spark.spark.progress import follow
from st_spark.tables import io

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.jobs.timings import Phases
    from st_spark.specs.jobs import JoinJob

_K = 10


def run(spark: "SparkSession", job: "JoinJob", phases: "Phases") -> dict[str, Any]:
    """Runs a join job.

    Returns:
        left, right: path, rows, kept (those that were joined), set_aside (the others, by reason) and dimension; no
            right where a table was joined with itself;
        pairs: rows of the output; pairs_per_second;
        method, score, k, threshold, and what else is known of how it was done: with a threshold alone expected_pairs,
            where they had to be foreseen, and best_per_row, if only the best were kept; the recall of "ivf";
        model: what made the vectors, as far as it is known; output: where, in which format, and the version of a Delta
            table.
    """
    there = io.prepare(spark, job.output, job.output_format)
    if there and job.mode == "error":
        io.refuse_existing(job.output)
    with ExitStack() as stack:
        left, right = _sources(spark, job, phases, stack)
        with phases("survey", "Counting rows"):
            done = _planned(job, left, right)
        if there and job.mode == "append":
            io.check_append(spark, done.pairs.schema, job.output, job.output_format, "score")
        counts = Observation("st_spark")
        out = done.pairs.observe(counts, sf.count(sf.lit(1)).alias("pairs"))
        sizes = [done.stats.left.kept, (done.stats.right or done.stats.left).kept]
        told = f"Joining {sizes[0]:,} rows with {sizes[1]:,}"
        with phases("join_and_write", told), follow(spark, sizes[0], done.facts.get("tasks", 1)):
            version = io.write(out, job.output, job.output_format, job.mode)
    pairs, seconds = counts.get["pairs"], phases.seconds["join_and_write"]
    others = {"right": right.told(done.stats.right)} if right and done.stats.right else {}
    return {
        "left": left.told(done.stats.left),
        **others,
        "pairs": pairs,
        "pairs_per_second": round(pairs / seconds, 1) if seconds else 0.0,
        **done.facts,
        "model": left.model,
        "output": {"path": job.output, "format": job.output_format, "mode": job.mode, "version": version},
    }


def _sources(spark: "SparkSession", job: "JoinJob", phases: "Phases", stack: ExitStack) -> tuple[Source, Source | None]:
    names = (job.id_column, *job.keys)
    left = stack.enter_context(
        opened(
            spark,
            job,
            phases,
            job.left,
            job.left_format,
            names=names,
            column=job.column,
            text=job.text_column,
        )
    )
    if job.right is None:
        return left, None
    right = stack.enter_context(
        opened(
            spark,
            job,
            phases,
            job.right,
            job.right_format,
            names=(job.right_id_column or job.id_column, *job.keys),
            column=job.right_column,
            text=job.right_text_column or job.text_column,
        )
    )
    return left, right


def _planned(job: "JoinJob", left: Source, right: Source | None) -> similarity_join.PlannedJoin:
    columns = {"left": (job.id_column, left.vector)}
    if right is not None:
        columns["right"] = (job.right_id_column or job.id_column, right.vector)
        check_same_model(left, right)
    k = _K if job.k is None and job.threshold is None else job.k
    score = left.score(job.score)
    request = Request(k, job.threshold, score, job.method, job.recall, job.max_pairs, job.overflow)
    sides = table_pair(left.df, None if right is None else right.df, columns, job.keys)
    return similarity_join.plan_join(sides, request)

"""run(job): run a job of any kind and return its result. The command line and schedulers both call it."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from st_spark._version import __version__
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import prepare
from st_spark.jobs import classify, cluster, dedup, describe, embed, index, join, mine, search
from st_spark.jobs.start import start
from st_spark.spark.cluster import use_this_python
from st_spark.spark.progress import recorded
from st_spark.specs.base import Job
from st_spark.specs.fields import ModelOptions
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import ClassifyJob, DescribeJob, EmbedJob, IndexJob, SearchJob
from st_spark.steps import report
from st_spark.steps.timings import Timings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


Run = Callable[["SparkSession", Any, Timings], dict[str, Any]]
# A new kind of job is a dataclass in specs.row_jobs or specs.pair_jobs, and a function here.
RUNS: Mapping[type[Job], Run] = {
    EmbedJob: embed.run,
    ClassifyJob: classify.run,
    IndexJob: index.run,
    SearchJob: search.run,
    JoinJob: join.run,
    DedupJob: dedup.run,
    ClusterJob: cluster.run,
    MineJob: mine.run,
    DescribeJob: describe.run,
}


def run(job: Job, spark: "SparkSession | None" = None) -> dict[str, Any]:
    """Run a job and return its result.

    Args:
        job: One of the kinds in specs.row_jobs and specs.pair_jobs.
        spark: The session; by default the running one, else a new local one (see start.start()).

    Returns:
        Values that JSON can hold: "job", "st_spark" (the version), "spark" (its version and the application's id),
        "seconds" by phase, and the result of this kind of job; see embed.run(), classify.run(), index.run(),
        search.run(), join.run(), dedup.run(), cluster.run(), mine.run() and describe.describe().
        With a report also "report"; see report.write().

    Raises:
        StSparkError: The job failed; the message has the reason and a fix.
    """
    begin, timings = time.perf_counter(), Timings()
    reported = job if isinstance(job, report.Reported) and job.report is not None else None
    if reported is not None:
        report.prepare(reported)
    if isinstance(job, ModelOptions) and job.model is not None:
        with timings("load", f"Checking {job.model}"):  # before Spark starts and reads
            prepare(job.model, EncodeOptions(**job.encoding), job.revision, job.dtype)
    if spark is None:
        with timings("start", "Starting Spark"):
            spark = start(job)
    use_this_python(spark)
    with recorded() as steps:
        result = RUNS[type(job)](spark, job, timings)
    timings.seconds["total"] = round(time.perf_counter() - begin, 3)
    about = {"version": spark.version, "application": spark.conf.get("spark.app.id", None)}
    sample = result.pop("report", None)
    done = {"job": job.kind, "st_spark": __version__, "spark": about, **result, "seconds": timings.seconds}
    if reported is not None:
        with timings("report", f"Writing {reported.report}"):
            done["report"] = report.write(spark, reported, done, steps, sample)
        timings.seconds["total"] = round(time.perf_counter() - begin, 3)
    return done

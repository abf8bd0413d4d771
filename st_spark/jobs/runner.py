"""run(job) -> result: the only entry, by hand exactly as under a scheduler."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark._version import __version__
from st_spark.jobs import classify, dedup, embed, join, mine, search
from st_spark.jobs.timings import Phases
from st_spark.spark import session
from st_spark.specs.base import Job
from st_spark.specs.jobs import ClassifyJob, DedupJob, EmbedJob, JoinJob, MineJob, SearchJob

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


Run = Callable[["SparkSession", Any, Phases], dict[str, Any]]
# A further kind of job is a dataclass in `spec` and a function here.
RUNS: Mapping[type[Job], Run] = {
    EmbedJob: embed.run,
    ClassifyJob: classify.run,
    SearchJob: search.run,
    JoinJob: join.run,
    DedupJob: dedup.run,
    MineJob: mine.run,
}


def run(job: Job, spark: "SparkSession | None" = None) -> dict[str, Any]:
    """Runs a job and says what happened.

    Args:
        job: One of the kinds in `spec`.
        spark: The session to run in; by default the one that is there, else a local one (see `session.start`).

    Returns:
        Plain values that JSON can hold: "job", "st_spark" (the version), "spark" (its version and the application's
        id), "seconds" by phase, and what the kind of job adds; see `embed.run`, `classify.run`, `search.run`,
        `join.run`, `dedup.run` and `mine.run`.

    Raises:
        StSparkError: The job cannot be done as asked; the message says why and names the fix.
    """
    begin, phases = time.perf_counter(), Phases()
    if spark is None:
        with phases("start", "Starting Spark"):
            spark = session.start(delta=any(_is_delta(*table) for table in job.tables()))
    result = RUNS[type(job)](spark, job, phases)
    phases.seconds["total"] = round(time.perf_counter() - begin, 3)
    told = {"version": spark.version, "application": spark.conf.get("spark.app.id", None)}
    return {"job": job.kind, "st_spark": __version__, "spark": told, **result, "seconds": phases.seconds}


def _is_delta(where: str, table_format: str | None) -> bool:
    """Whether a local session needs Delta for this table; remote ones say so by their format."""
    return table_format == "delta" or (table_format is None and Path(where, "_delta_log").is_dir())

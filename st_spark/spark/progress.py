"""Show the progress of a Spark action: a bar on a terminal, log lines elsewhere."""

import logging
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from st_spark.spark.background import repeated
from st_spark.spark.cluster import is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)
POLL_SECONDS = 0.3
LINE_SECONDS = 5.0
# (stage id, tasks, tasks done) of each stage of the action.
Stages = Iterable[tuple[int, int, int]]
# Seconds since an action began, and the rows that were done then, in the order of time.
Steps = list[tuple[float, int]]
_recorded: ContextVar[list[Steps] | None] = ContextVar("recorded", default=None)


@contextmanager
def recorded() -> Iterator[list[Steps]]:
    """Return a list, to which each follow() inside `with` adds the steps of its action."""
    found: list[Steps] = []
    token = _recorded.set(found)
    try:
        yield found
    finally:
        _recorded.reset(token)


@contextmanager
def follow(spark: "SparkSession", rows: int, tasks: int) -> Iterator[None]:
    """Show how many rows are done while a Spark action runs inside `with`.

    Args:
        spark: The session of the action. This thread must start the action.
        rows: Number of all rows.
        tasks: Number of tasks of the stage that does the work. Each counts for an equal share of the rows.
    """
    display = _bar if sys.stderr.isatty() else _log_lines
    watch = _connect_tasks if is_connect(spark) else _classic_tasks
    steps: Steps = [(0.0, 0)]
    if (found := _recorded.get()) is not None:
        found.append(steps)
    start = time.monotonic()
    with display(rows) as show:

        def note(done: int) -> None:
            if done > steps[-1][1]:
                steps.append((time.monotonic() - start, done))
            show(done)

        with watch(spark, lambda stages: note(rows * tasks_done(stages, tasks) // max(tasks, 1))):
            yield
        note(rows)


def tasks_done(stages: Stages, tasks: int) -> int:
    """Return how many tasks are done of the newest stage with this number of tasks, 0 before it starts."""
    return max(((stage, done) for stage, size, done in stages if size == tasks), default=(0, 0))[1]


@contextmanager
def _classic_tasks(spark: "SparkSession", report: Callable[[Stages], None]) -> Iterator[None]:
    """Poll Spark's status tracker for the jobs that this thread starts."""
    context: Any = spark.sparkContext  # its stubs do not allow None as the value of a property
    group = f"st-spark-{uuid.uuid4()}"
    before = context.getLocalProperty("spark.jobGroup.id")
    context.setLocalProperty("spark.jobGroup.id", group)
    tracker = context.statusTracker()

    def poll() -> None:
        jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
        report([(s.stageId, s.numTasks, s.numCompletedTasks) for s in stages if s])

    try:
        with repeated(poll, POLL_SECONDS, "st-spark-progress"):
            yield
    finally:
        context.setLocalProperty("spark.jobGroup.id", before)


@contextmanager
def _connect_tasks(spark: "SparkSession", report: Callable[[Stages], None]) -> Iterator[None]:
    """Listen to the progress reports of a Spark Connect server."""
    session: Any = spark

    def handler(stages: Iterable[Any] | None, *_: object, **__: object) -> None:
        report([(s.stage_id, s.num_tasks, s.num_completed_tasks) for s in stages or ()])

    session.registerProgressHandler(handler)
    try:
        yield
    finally:
        session.removeProgressHandler(handler)


@contextmanager
def _bar(rows: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with rows, rows/s and the time left."""
    from tqdm import tqdm

    shape = "{percentage:3.0f}% {bar} {n:,} of {total:,} rows, {rate_noinv_fmt}, {remaining} left"
    with tqdm(total=rows, unit=" rows", smoothing=0, bar_format=shape, dynamic_ncols=True, mininterval=0) as bar:

        def show(done: int) -> None:
            bar.n = max(done, bar.n)
            bar.refresh()  # shows the time also if no task has ended

        yield show


@contextmanager
def _log_lines(rows: int) -> Iterator[Callable[[int], None]]:
    """Log a line every LINE_SECONDS."""
    start = last = time.monotonic()

    def show(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            _log.info(line(done, rows, now - start))

    yield show


def line(done: int, rows: int, seconds: float) -> str:
    """Return a progress line: "1,200 of 5,000 rows (24%), 400 rows/s, 10 s left"."""
    share = f"{done:,} of {rows:,} rows ({done * 100 // max(rows, 1)}%)"
    if not done or seconds <= 0:
        return f"{share}, {seconds:.0f} s so far"
    rate = done / seconds
    return f"{share}, {rate:,.0f} rows/s, {(rows - done) / rate:,.0f} s left"

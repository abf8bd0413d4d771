"""Progress: the rows done follow from the tasks done."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from st_spark.spark import progress
from st_spark.spark.progress import line, tasks_done

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MIDDLE = {f"{done}00 of 800" for done in range(1, 8)}


def rows(record: logging.LogRecord) -> str:
    """Return the count of rows in a log line."""
    return record.getMessage().split(" rows")[0]


def test_the_newest_stage_with_the_right_number_of_tasks_counts() -> None:
    assert tasks_done([(0, 1, 1), (1, 8, 8), (2, 8, 3)], 8) == 3
    assert tasks_done([(0, 1, 1)], 8) == 0
    assert tasks_done([], 8) == 0


@pytest.mark.parametrize(
    ("done", "seconds", "says"),
    [
        (0, 4.0, "0 of 5,000 rows (0%), 4 s so far"),
        (1_200, 3.0, "1,200 of 5,000 rows (24%), 400 rows/s, 10 s left"),
        (5_000, 5.0, "5,000 of 5,000 rows (100%), 1,000 rows/s, 0 s left"),
    ],
)
def test_a_line_has_rows_rate_and_time_left(done: int, seconds: float, says: str) -> None:
    assert line(done, 5_000, seconds) == says


def followers() -> list[str]:
    """Return the threads of follow() that have not ended."""
    return [thread.name for thread in threading.enumerate() if thread.name == "st-spark-progress"]


@pytest.mark.slow
def test_progress_is_logged_and_the_job_group_restored(
    spark: "SparkSession", caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    context = spark.sparkContext
    context.setLocalProperty("spark.jobGroup.id", "mine")
    half_logged = tmp_path / "half_logged"

    def half(batches: Iterator[Any]) -> Iterator[Any]:
        """Let the second half of the tasks wait until a log line shows the first half as done."""
        import time

        from pyspark import TaskContext

        until = time.monotonic() + 60
        task = TaskContext.get()
        while task is not None and task.partitionId() >= 4 and not half_logged.exists() and time.monotonic() < until:
            time.sleep(0.05)
        return batches

    def note(record: logging.LogRecord) -> bool:
        if rows(record) in MIDDLE:
            half_logged.touch()
        return True

    logger = logging.getLogger("st_spark.spark.progress")
    logger.addFilter(note)
    try:
        with (
            caplog.at_level(logging.INFO, logger="st_spark"),
            progress.recorded() as recorded,
            progress.follow(spark, 800, 8),
        ):
            spark.range(0, 800, numPartitions=8).mapInArrow(half, "id long").write.format("noop").mode("append").save()
        assert context.getLocalProperty("spark.jobGroup.id") == "mine"
    finally:
        logger.removeFilter(note)
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
    shown = [rows(record) for record in caplog.records]
    assert MIDDLE & set(shown)
    assert shown[-1] == "800 of 800"
    steps = recorded[0]
    assert (steps[0], steps[-1][1]) == ((0.0, 0), 800) and len(steps) > 2
    assert steps == sorted(steps)
    assert not followers()


@pytest.mark.slow
def test_progress_ends_when_the_action_fails(spark: "SparkSession") -> None:
    with pytest.raises(Exception, match="stop"), progress.follow(spark, 1, 1):
        spark.sql("SELECT raise_error('stop')").collect()
    assert not followers()

"""Progress: rows are told from the tasks of the stage that does the work."""

import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from st_spark import progress
from st_spark.progress import line, tasks_done

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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


@pytest.mark.slow
def test_a_running_action_is_followed_and_the_job_group_is_given_back(
    spark: "SparkSession", caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    context = spark.sparkContext
    context.setLocalProperty("spark.jobGroup.id", "mine")

    def slow(batches: Iterator[Any]) -> Iterator[Any]:
        import time

        time.sleep(1)  # Spark tells the state of a task later, by seconds on a busy machine
        return batches

    threads = threading.active_count()
    try:
        with caplog.at_level(logging.INFO, logger="st_spark"), progress.follow(spark, 800, 8):
            spark.range(0, 800, numPartitions=8).mapInArrow(slow, "id long").write.format("noop").mode("append").save()
        assert context.getLocalProperty("spark.jobGroup.id") == "mine"
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
    told = [record.getMessage().split(" rows")[0] for record in caplog.records]
    assert {f"{done}00 of 800" for done in range(1, 8)} & set(told)
    assert told[-1] == "800 of 800"
    assert threading.active_count() <= threads


@pytest.mark.slow
def test_an_action_that_fails_ends_the_following_too(spark: "SparkSession") -> None:
    threads = threading.active_count()
    with pytest.raises(Exception, match="stop"), progress.follow(spark, 1, 1):
        spark.sql("SELECT raise_error('stop')").collect()
    assert threading.active_count() <= threads

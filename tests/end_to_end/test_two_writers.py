"""Two real processes write one table: they never mix, and a killed one does not stop the other."""

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.errors import BusyError
from st_spark.spark.filesystem import ArrowFiles
from st_spark.tables.folder_contents import look
from st_spark.tables.output import open_output
from tests.support.processes import end

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 2_000
ROUNDS = 4


def overwrite(spark: "SparkSession", out: str, first: int, staged: Path | None = None) -> None:
    """Overwrite a table with ROWS rows; wait as long as another job writes it."""
    while True:
        try:
            with open_output(spark, out, None, "overwrite") as writer:
                if staged is not None:
                    staged.touch()
                    time.sleep(600)
                writer.write(spark.range(first, first + ROWS, 1, 3), lambda: ROWS)
                return
        except BusyError:
            time.sleep(0.05)


def main(out: str, staged: str = "") -> None:
    """Overwrite a table again and again; with `staged` touch this file after the lock is taken, and hang."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    for _ in range(ROUNDS):
        overwrite(spark, out, 0, Path(staged) if staged else None)


def other_process(*arguments: str) -> subprocess.Popen[bytes]:
    code = "import sys; from tests.end_to_end.test_two_writers import main; main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)


def test_overwrites_at_the_same_time_never_lose_or_mix_rows(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    process = other_process(out)
    try:
        done = 0
        while process.poll() is None or done < ROUNDS:
            overwrite(spark, out, ROWS)
            done += 1
        assert process.returncode == 0
    finally:
        end(process)
    ids = sorted(row["id"] for row in spark.read.parquet(out).collect())
    assert ids == list(range(ROWS, 2 * ROWS))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not look(ArrowFiles(), out).foreign


def test_a_killed_job_does_not_block_the_next_one(spark: "SparkSession", tmp_path: Path) -> None:
    out, staged = str(tmp_path / "out"), tmp_path / "staged"
    spark.range(3).write.parquet(out)
    process = other_process(out, str(staged))
    try:
        while not staged.exists():
            assert process.poll() is None
            time.sleep(0.05)
        with pytest.raises(BusyError, match=f"process {process.pid} on "), open_output(spark, out, None, "append"):
            pytest.fail("two jobs have one lock")
    finally:
        end(process)
    with open_output(spark, out, None, "append") as writer:
        writer.write(spark.range(3, 5), lambda: 2)
    assert sorted(row["id"] for row in spark.read.parquet(out).collect()) == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "staged"]

"""Slices outlive a run that fails, until its job succeeds or somebody cleans up."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql.types import LongType, StructField, StructType

from st_spark.errors import PlatformError, TableError
from st_spark.jobs.clean import clean
from st_spark.spark.filesystem import files_of
from st_spark.tables.slices import Slices, homes, remove, runs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEMA = StructType([StructField("id", LongType())])


def fail(spark: "SparkSession", home: str, rows: int) -> None:
    """Write slices in a run that somebody stops."""

    def run() -> None:
        with Slices(spark, "out", home).locked() as slices:
            slices.write(spark.range(0, rows, 1, 4), rows)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()


def test_slices_are_found_until_a_run_succeeds(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    home = f"{homes(spark, out, 'parquet')[0]}key"
    fail(spark, home, 100)
    (run,) = (path for path in Path(home.removeprefix("file:")).iterdir() if path.is_dir())
    damaged, empty, *_ = sorted(run.glob("part-*"))
    for path, length in ((damaged, 50), (empty, 0)):  # as after a loss of power
        path.with_name(f".{path.name}.crc").unlink()
        path.write_bytes(path.read_bytes()[:length])
    (run / "_temporary" / "0").mkdir(parents=True)
    slices = Slices(spark, out, home)
    with slices.locked():
        known = slices.known(SCHEMA)
        assert known is not None
        assert sorted(row["id"] for row in known.collect()) == list(range(50, 100))
        with pytest.raises(PlatformError, match="7 of 8 rows were written for"):
            slices.write(spark.range(7), 8)
        assert run.exists()
    with Slices(spark, out, home).locked() as slices:
        assert slices.write(spark.range(7), 7).count() == 7
        assert len(runs(files_of(spark), home)) == 1  # all rows are in its own slices
    assert list(tmp_path.iterdir()) == []


def test_clean_deletes_what_nobody_comes_back_for(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    (tmp_path / ".out.st-spark-new-1").mkdir()
    home = f"{homes(spark, out, 'parquet')[0]}key"
    fail(spark, home, 10)
    assert clean(spark, out, seconds=3_600) == 0
    with Slices(spark, out, home).locked():
        assert clean(spark, out) == 1
        assert [path.name for path in tmp_path.iterdir()] == [Path(home).name]  # of the run that lives
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_starts_while_others_are_deleted_keeps_its_folder(spark: "SparkSession", tmp_path: Path) -> None:
    home = str(tmp_path / ".out.st-spark-resume-key")
    fail(spark, home, 10)

    def start_another(_: str) -> bool:
        Path(home, "new").mkdir()
        return True

    assert remove(files_of(spark), home, start_another) == 1
    assert runs(files_of(spark), home) == ["new"]


@pytest.mark.parametrize("where", ["no/such/folder/out", "in/out"])
def test_clean_needs_something_of_st_spark(spark: "SparkSession", tmp_path: Path, where: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(TableError, match=f"There is nothing of st-spark beside .*/{where}\\."):
        clean(spark, str(tmp_path / where))
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


def test_clean_of_a_catalog_needs_something_of_st_spark(spark: "SparkSession") -> None:
    before = spark.sql("SHOW TABLES").collect()
    with pytest.raises(TableError, match=r"There is no table default\.dosc, and nothing that a job has left\."):
        clean(spark, "default.dosc", "table")
    assert spark.sql("SHOW TABLES").collect() == before
    home = f"{homes(spark, 'default.dosc', 'table')[0]}key"
    fail(spark, home, 10)  # a first run that was killed before there was a table
    assert clean(spark, "default.dosc", "table") == 1


def test_a_schema_without_a_folder_has_no_place_for_slices(spark: "SparkSession") -> None:
    assert homes(spark, "no_such_schema.docs", "table") == (None, [])


def test_a_run_that_has_finished_nothing_keeps_nothing(spark: "SparkSession", tmp_path: Path) -> None:
    slices = Slices(spark, "out", str(tmp_path / ".out.st-spark-resume-key"))
    with pytest.raises(KeyboardInterrupt), slices.locked():
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["`odd name`", "default.`odd name`", "`default`.`odd name`"])
def test_slices_of_a_catalog_table_lie_in_the_folder_of_its_schema(spark: "SparkSession", where: str) -> None:
    warehouse = str(spark.conf.get("spark.sql.warehouse.dir"))
    start, found = homes(spark, where, "table")
    assert (start, found) == (f"{warehouse.rstrip('/')}/.odd name.st-spark-resume-", [])

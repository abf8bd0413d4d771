"""The version of a source that the last merge has read is kept with the table, until the table is replaced."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.steps.changed_rows import ChangedRows
from st_spark.tables import io
from st_spark.tables.change_feed import DeltaSource
from st_spark.tables.last_source import keep_version, last_version
from st_spark.tables.output import open_output

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("table_format", ["parquet", "table"])
def test_the_version_of_one_source_is_kept_and_goes_with_the_rows(
    spark: "SparkSession", tmp_path: Path, table_format: str
) -> None:
    where = "kept_version" if table_format == "table" else str(tmp_path / "out")
    spark.sql("DROP TABLE IF EXISTS kept_version")
    for mode in ("error", "overwrite"):
        with open_output(spark, where, table_format, mode) as writer:
            assert last_version(writer, "a") == (None if mode == "error" else 12)
            writer.write(spark.range(3).selectExpr("id", "'x' AS score"), lambda: 3)
        with open_output(spark, where, table_format, "merge") as writer:
            assert last_version(writer, "a") is None
            keep_version(writer, "a", 11)
            keep_version(writer, "a", 12)
            assert (last_version(writer, "a"), last_version(writer, "b")) == (12, None)
    with open_output(spark, where, table_format, "merge") as writer:
        keep_version(writer, None)
        assert last_version(writer, "a") is None
    assert io.read(spark, where, table_format).count() == 3
    spark.sql("DROP TABLE IF EXISTS kept_version")


def test_a_version_is_kept_if_a_job_asks_for_it_and_a_failure_to_keep_it_is_logged(
    spark: "SparkSession", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    note, source = tmp_path / "out" / "_st-spark-source", DeltaSource(spark, "in", "a", 3, by_name=False)
    with open_output(spark, str(tmp_path / "out"), "parquet", "merge") as writer:
        ChangedRows(source, spark.range(1), kept=False).keep(writer)
        assert not note.exists()
        ChangedRows(source, spark.range(1)).keep(writer)
        assert note.read_text() == "a 3"
        note.unlink()
        note.mkdir()  # so that no file can be written there
        ChangedRows(source, spark.range(1)).keep(writer)
    assert "is written, but not which version of its input was read" in caplog.text

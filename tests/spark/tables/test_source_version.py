"""source_version(): it changes when the files of a table do."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.errors import TableError
from st_spark.tables.source_version import source_version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("table_format", ["parquet", "json", "csv"])
def test_a_version_lasts_until_a_file_changes_and_is_found_without_reading_rows(
    spark: "SparkSession", tmp_path: Path, table_format: str
) -> None:
    folder = tmp_path / "a table, 100%"
    (folder / "day=1").mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    assert source_version(spark, str(folder), table_format) == "0 files"
    (folder / "day=1" / "part-0").write_bytes(b"no row of any format")
    first = source_version(spark, str(folder), table_format)
    assert first.startswith("1 files, ")
    assert source_version(spark, str(folder), table_format) == first
    (folder / "day=1" / "part-0").write_bytes(b"a longer row of no format")
    assert source_version(spark, str(folder), table_format).startswith("1 files, ")
    assert source_version(spark, str(folder), table_format) != first


def test_a_missing_table_is_an_error(spark: "SparkSession", tmp_path: Path) -> None:
    with pytest.raises(TableError, match="There is no path"):
        source_version(spark, str(tmp_path / "missing"), "parquet")

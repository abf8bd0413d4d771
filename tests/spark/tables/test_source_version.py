"""source_version(): it changes when the files of a table do, and is found without reading rows."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as sf

from st_spark.errors import TableError
from st_spark.tables.source_version import list_files, source_version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("table_format", ["parquet", "json", "csv"])
def test_a_version_lasts_until_a_file_changes(spark: "SparkSession", tmp_path: Path, table_format: str) -> None:
    folder = tmp_path / "a table, 100%"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    assert source_version(spark, str(folder), table_format) == "0 files"
    file = folder / "part-0"
    file.write_bytes(b"no row of any format")
    versions = [source_version(spark, str(folder), table_format) for _ in range(2)]
    os.utime(file, (1, 1))
    versions.append(source_version(spark, str(folder), table_format))
    file.rename(folder / "part-1")
    versions.append(source_version(spark, str(folder), table_format))
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3
    assert all(version.startswith("1 files, ") for version in versions)


@pytest.mark.parametrize("partition", [None, "day", "path"])
def test_a_version_is_that_of_all_files_of_the_table(
    spark: "SparkSession", tmp_path: Path, partition: str | None
) -> None:
    """Indexes have stored it, so it must stay the same."""
    rows = spark.range(4).withColumn("day", sf.col("id") % 2).withColumn("path", sf.col("id") % 2)
    (rows.write.partitionBy(partition) if partition else rows.write).parquet(str(tmp_path / "docs"))
    file = next((tmp_path / "docs").rglob("*.parquet"))
    for where in (tmp_path / "docs", file, tmp_path / "do*"):
        files = list_files(spark.read.parquet(str(where)))
        assert files is not None
        found = files.agg(sf.count("*"), sf.expr("bit_xor(xxhash64(path, length, modificationTime))")).collect()[0]
        version = f"{found[0]} files, {found[1] & 0xFFFFFFFFFF:010x}"
        assert source_version(spark, str(where), "parquet") == version


def test_a_missing_table_is_an_error(spark: "SparkSession", tmp_path: Path) -> None:
    with pytest.raises(TableError, match="There is no path"):
        source_version(spark, str(tmp_path / "missing"), "parquet")

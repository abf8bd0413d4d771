"""The version of a table: it changes when the table does. So what was made from it can tell that it is out of date."""

from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyspark.sql import functions as sf

from st_spark.spark.filesystem import files_of
from st_spark.tables import io
from st_spark.tables.catalog import describe
from st_spark.tables.names import parse_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# The format in which Spark reads of each file its name, its length, and when it was changed.
_LISTING = "binaryFile"


def absolute_name(spark: "SparkSession", where: str, table_format: str) -> str:
    """Return a path that means the same in another folder; the name of a catalog table as it is."""
    return where if table_format == "table" else files_of(spark).absolute(where)


def source_version(spark: "SparkSession", where: str, table_format: str) -> str:
    """Return the version of a table: of Delta its own, else the number of files and a hash of their names and times.

    No row is read.

    Raises:
        TableError: There is no such table.
    """
    name = parse_name(where) if table_format == "table" else None
    found = describe(spark, name) if name else None
    df = (io.read if table_format in ("table", "delta") else _open_path)(spark, where, table_format)
    if table_format == "delta" or (found and found.provider == "delta"):
        delta = str(name) if name else f"delta.`{files_of(spark).absolute(where)}`"
        return f"version {spark.sql(f'DESCRIBE HISTORY {delta} LIMIT 1').collect()[0]['version']}"
    files = list_files(df)
    hashed = sf.expr("bit_xor(xxhash64(path, length, modificationTime))")
    count, mixed = (0, 0) if files is None else files.agg(sf.count(sf.lit(1)), hashed).collect()[0]
    return f"{count} files, {mixed & 0xFFFFFFFFFF:010x}" if count else "0 files"


def _open_path(spark: "SparkSession", where: str, table_format: str) -> "DataFrame":
    """Return the files of a path. To read it as a table, Spark would first read rows, to find their types."""
    try:
        return spark.read.format(_LISTING).load(io.reader_path(spark, where))
    except Exception as error:
        raise io.table_error(error, where, table_format) from error


def list_files(df: "DataFrame") -> "DataFrame | None":
    """Return path, length and modificationTime of the files of a table; None if it has none. No file is read."""
    spark = df.sparkSession
    paths = [io.reader_path(spark, unquote(path)) for path in df.inputFiles()]
    listed = spark.read.format(_LISTING).load(paths) if paths else None
    return None if listed is None else listed.select("path", "length", "modificationTime")

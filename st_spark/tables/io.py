"""Read tables: paths of several formats, and catalog tables."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from st_spark.errors import StSparkError, TableError
from st_spark.spark.filesystem import files_of
from st_spark.tables.columns import CORRUPT
from st_spark.tables.names import parse_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SUFFIXES = {"csv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet"}
# A quoted field may hold line breaks and doubled quotes (RFC 4180). Every column is a string. Nothing between two
# commas is null, and "" is an empty text, so nullValue must differ from emptyValue.
_CSV = {"header": "true", "multiLine": "true", "escape": '"', "emptyValue": "", "nullValue": "\0"}


def find_format(spark: "SparkSession", where: str) -> str:
    """Find the format of an existing table from its name and files: csv, json, parquet, delta or table."""
    plain = PurePosixPath(where.removesuffix(".gz").removesuffix(".bz2"))
    by_suffix = _SUFFIXES.get(plain.suffix.lstrip(".").lower())
    if by_suffix != "parquet" and by_suffix:
        return by_suffix
    files = files_of(spark)
    if not is_pattern(where):
        if files.exists(f"{where.rstrip('/')}/_delta_log"):
            return "delta"
        if not by_suffix and parse_name(where) and not files.exists(where):
            return "table"
    return "parquet"


def is_pattern(where: str) -> bool:
    """Return whether a path is a pattern that can match several paths."""
    return any(mark in where for mark in "*?[{")


def read(spark: "SparkSession", where: str, table_format: str | None = None) -> "DataFrame":
    """Read a table. CSV and JSON lines get a column CORRUPT, which is null in all rows that Spark can read.

    Args:
        spark: The session.
        where: A path that Spark can read, or the name of a catalog table.
        table_format: One of choices.FORMATS_IN, by default found from the name.

    Raises:
        TableError: There is no such path or table, or it cannot be read.
    """
    table_format = table_format or find_format(spark, where)
    try:
        if table_format == "table":
            return spark.table(str(parse_name(where) or where))
        if table_format in ("csv", "json"):
            return _read_text(spark, where, table_format)
        return spark.read.format(table_format).load(where)
    except Exception as error:
        raise table_error(error, where, table_format) from error


def _read_text(spark: "SparkSession", where: str, table_format: str) -> "DataFrame":
    from pyspark.sql.types import StringType, StructField, StructType

    options = _CSV if table_format == "csv" else {}
    schema = spark.read.format(table_format).options(**options).load(where).schema
    fields = [field for field in schema.fields if field.name != "_corrupt_record"]  # JSON adds it for a bad row
    if not fields:
        raise TableError(f"{where} has no row that can be read as {table_format}.", "check its format: --input-format.")
    schema = StructType([*fields, StructField(CORRUPT, StringType())])
    reader = spark.read.format(table_format).options(**options, mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT)
    return reader.schema(schema).load(where)


def table_error(error: Exception, where: str, table_format: str) -> StSparkError:
    """Turn an error of Spark about a table into one line with a fix."""
    if isinstance(error, StSparkError):
        return error
    text = str(error)
    if "PATH_NOT_FOUND" in text or "TABLE_OR_VIEW_NOT_FOUND" in text or "SCHEMA_NOT_FOUND" in text:
        return TableError(
            f"There is no {'table' if table_format == 'table' else 'path'} {where}.",
            "check the name; the path must exist where Spark runs.",
        )
    if "DATA_SOURCE_NOT_FOUND" in text and "delta" in text:
        return TableError(
            f"{where} is a Delta table, and this Spark session has no Delta.",
            "start Spark with `--packages io.delta:delta-spark_...` and Delta's extensions (docs.delta.io).",
        )
    lines = text.splitlines() or [type(error).__name__]
    reason = next((line for line in lines if "[" in line), lines[0])
    return TableError(
        f"{where} cannot be read as {table_format}: {reason.strip()}", "check its format: --input-format."
    )

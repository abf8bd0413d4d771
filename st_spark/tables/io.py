"""Read tables: paths of several formats, and catalog tables."""

import re
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from st_spark.errors import InputError, StSparkError, TableError
from st_spark.spark.filesystem import files_of
from st_spark.tables.column_types import as_text, parse_columns, parse_types
from st_spark.tables.columns import CORRUPT, RESERVED
from st_spark.tables.decoding import spark_encoding
from st_spark.tables.names import parse_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from st_spark.spark.filesystem import Files

_SUFFIXES = {"csv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet"}
TEXT_FORMATS = ("csv", "json")
# A quoted field may hold line breaks and doubled quotes (RFC 4180). Every column is a string: Spark would read the zip
# code 01067 as a number, and one other value would change the type of a whole column. Nothing between two
# commas is null, and "" is an empty text, so nullValue must differ from emptyValue.
_CSV = {"header": "true", "multiLine": "true", "escape": '"', "emptyValue": "", "nullValue": "\0"}
_FORMAT = "if it has another format, name it: --input-format, or the table's own option, such as --left-format."
# Characters that make a path a pattern for Spark's readers.
_PATTERN = re.compile(r"[*?\[\]{}\\]")


def find_format(spark: "SparkSession", where: str) -> str:
    """Find the format of an existing table from its name and files: csv, json, parquet, delta or table."""
    plain = PurePosixPath(where.removesuffix(".gz").removesuffix(".bz2"))
    by_suffix = _SUFFIXES.get(plain.suffix.lstrip(".").lower())
    if by_suffix != "parquet" and by_suffix:
        return by_suffix
    files = files_of(spark)
    if not is_pattern(files, where):
        if files.exists(f"{where.rstrip('/')}/_delta_log"):
            return "delta"
        if not by_suffix and parse_name(where) and not files.exists(where):
            return "table"
    return "parquet"


def is_pattern(files: "Files", where: str) -> bool:
    """Return whether a path is a pattern that can match several paths. A path that exists is none."""
    return bool(_PATTERN.search(where)) and not files.exists(where)


def read(
    spark: "SparkSession",
    where: str,
    table_format: str | None = None,
    encoding: str | None = None,
    types: str | None = None,
) -> "DataFrame":
    """Read a table. CSV and JSON lines get a column CORRUPT, which is null in all rows that Spark can read.

    Args:
        spark: The session.
        where: A path that Spark can read, or the name of a catalog table. A path that exists is no pattern.
        table_format: One of choices.FORMATS_IN, by default found from the name.
        encoding: The encoding of CSV and JSON lines, by default UTF-8.
        types: Types of their columns, such as "id INT, date DATE". By default, and in other columns, CSV has strings,
            and JSON what Spark finds. A row with a value of another type counts as one that Spark cannot read.

    Raises:
        TableError: There is no such path or table, it cannot be read, or a column has a name of ours.
        InputError: The types cannot be read, do not fit the columns, or the table has types of its own.
    """
    table_format = table_format or find_format(spark, where)
    if types and table_format not in TEXT_FORMATS:
        raise InputError(
            f"A schema is given, and {where} ({table_format}) has types of its own.",
            "leave out --schema, or cast there.",
        )
    try:
        if table_format == "table":
            df = spark.table(str(parse_name(where) or where))
        elif table_format == "delta":
            df = spark.read.format("delta").load(where)
        else:
            path = reader_path(spark, where)
            if table_format in TEXT_FORMATS:
                return _read_text(spark, where, path, table_format, encoding, types)
            df = spark.read.format(table_format).load(path)
    except Exception as error:
        raise table_error(error, where, table_format) from error
    _check_names(df.schema, where)
    return df


def reader_path(spark: "SparkSession", where: str) -> str:
    """Return a path for Spark's readers. In a path that exists they must not see a pattern."""
    return where if is_pattern(files_of(spark), where) else _PATTERN.sub(r"\\\g<0>", where)


def _read_text(
    spark: "SparkSession", where: str, path: str, table_format: str, encoding: str | None, types: str | None
) -> "DataFrame":
    from pyspark.sql.types import StringType, StructField, StructType

    options = _CSV if table_format == "csv" else {}
    options = options | ({"encoding": spark_encoding(spark, encoding)} if encoding else {})
    corrupt = f"_corrupt_{uuid.uuid4().hex}"  # JSON adds a column with this name for a bad row
    infer = spark.read.format(table_format).options(**options, columnNameOfCorruptRecord=corrupt)
    if path != where:
        infer = infer.option("multiLine", "false")  # else Spark takes the path as a pattern again
    inferred = infer.load(path).schema
    fields = [field for field in inferred.fields if field.name != corrupt]
    if not fields:
        raise TableError(f"{where} has no row that can be read as {table_format}.", _FORMAT)
    _check_names(StructType(fields), where)
    given = parse_types(spark, types) if types else StructType()
    columns = as_text(StructType(fields), given, where, table_format)
    reader = spark.read.format(table_format).options(**options, mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT)
    df = reader.schema(StructType([*columns, StructField(CORRUPT, StringType())])).load(path)
    return parse_columns(df, given) if types else df


def _check_names(schema: "StructType", where: str) -> None:
    """Check that no column of a table has the name of a temporary column; TableError if one has."""
    for name in schema.names:
        if name.lower().startswith(RESERVED):
            raise TableError(
                f"{where} has a column {name!r}. st-spark keeps names with {RESERVED} for itself.", "rename the column."
            )


def table_error(error: Exception, where: str, table_format: str) -> StSparkError:
    """Turn an error of Spark about a table into one line with a fix."""
    if isinstance(error, StSparkError):
        return error
    text = str(error)
    if "PATH_NOT_FOUND" in text or "TABLE_OR_VIEW_NOT_FOUND" in text or "SCHEMA_NOT_FOUND" in text:
        kind = "table" if table_format == "table" else "path"
        return TableError(
            f"No path matches the pattern {where}." if _PATTERN.search(where) else f"There is no {kind} {where}.",
            "check the name; the path must exist where Spark runs.",
        )
    if "DATA_SOURCE_NOT_FOUND" in text and "delta" in text:
        return TableError(
            f"{where} is to be read or written as Delta, and this Spark session has no Delta.",
            "start Spark with `--packages io.delta:delta-spark_...` and Delta's extensions (docs.delta.io).",
        )
    if found := re.search(r"\[COLUMN_ALREADY_EXISTS\]\D*?`(.+?)`", text):
        return TableError(
            f"{where} has several columns named {found[1]!r}, if the case of letters is ignored.",
            "set spark.sql.caseSensitive=true in Spark's configuration, or rename one of them.",
        )
    lines = text.splitlines() or [type(error).__name__]
    reason = next((line for line in lines if "[" in line), lines[0])
    return TableError(f"{where} cannot be read as {table_format}: {reason.strip()}", _FORMAT)

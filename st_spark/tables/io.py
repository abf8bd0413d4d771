"""Read and write tables. No other module knows formats and modes.

A write succeeds as a whole or leaves the old table. Parquet is written beside the table and then moved (see
`atomic_write`). Delta commits are atomic. A catalog table depends on its provider.
"""

import re
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from st_spark.errors import StSparkError, TableError
from st_spark.spark.filesystem import files_of
from st_spark.tables import atomic_write
from st_spark.tables.columns import CORRUPT, RESERVED
from st_spark.tables.decoding import spark_encoding
from st_spark.tables.metadata import check_same_vectors

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_SUFFIXES = {"csv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet"}
# A quoted field may hold line breaks and doubled quotes (RFC 4180). Every column is a string. Nothing between two
# commas is null, and "" is an empty text, so nullValue must differ from emptyValue.
_CSV = {"header": "true", "multiLine": "true", "escape": '"', "emptyValue": "", "nullValue": "\0"}
# Characters that make a path a pattern for Spark's readers.
_PATTERN = re.compile(r"[*?\[\]{}\\]")
_TABLE_NAME = re.compile(r"(?:\w+|`[^`]+`)(?:\.(?:\w+|`[^`]+`)){0,2}")


def find_format(spark: "SparkSession", where: str) -> str:
    """Find the format of an existing table from its name and files: csv, json, parquet, delta or table."""
    plain = PurePosixPath(where.removesuffix(".gz").removesuffix(".bz2"))
    by_suffix = _SUFFIXES.get(plain.suffix.lstrip(".").lower())
    if by_suffix != "parquet" and by_suffix:
        return by_suffix
    files = files_of(spark)
    if not _PATTERN.search(where) or files.exists(where):
        if files.exists(f"{where.rstrip('/')}/_delta_log"):
            return "delta"
        if not by_suffix and _TABLE_NAME.fullmatch(where) and not files.exists(where):
            return "table"
    return "parquet"


def read(
    spark: "SparkSession", where: str, table_format: str | None = None, encoding: str | None = None
) -> "DataFrame":
    """Read a table. CSV and JSON lines get a column CORRUPT, which is null in all rows that Spark can read.

    Args:
        spark: The session.
        where: A path that Spark can read, or the name of a catalog table. A path that exists is no pattern.
        table_format: One of choices.FORMATS_IN, by default found from the name.
        encoding: The encoding of CSV and JSON lines, by default UTF-8.

    Raises:
        TableError: There is no such path or table, it cannot be read, or a column has a name of ours.
    """
    table_format = table_format or find_format(spark, where)
    try:
        if table_format == "table":
            df = spark.table(where)
        elif table_format == "delta":
            df = spark.read.format("delta").load(where)
        else:
            path = reader_path(spark, where)
            if table_format in ("csv", "json"):
                return _read_text(spark, where, path, table_format, encoding)
            df = spark.read.format(table_format).load(path)
    except Exception as error:
        raise table_error(error, where, table_format) from error
    _check_names(df.schema, where)
    return df


def reader_path(spark: "SparkSession", where: str) -> str:
    """Return a path for Spark's readers. In a path that exists they must not see a pattern."""
    literal = _PATTERN.search(where) and files_of(spark).exists(where)
    return _PATTERN.sub(r"\\\g<0>", where) if literal else where


def _read_text(spark: "SparkSession", where: str, path: str, table_format: str, encoding: str | None) -> "DataFrame":
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
        raise TableError(f"{where} has no row that can be read as {table_format}.", "check its format: --input-format.")
    _check_names(StructType(fields), where)
    schema = StructType([*fields, StructField(CORRUPT, StringType())])
    reader = spark.read.format(table_format).options(**options, mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT)
    return reader.schema(schema).load(path)


def _check_names(schema: "StructType", where: str) -> None:
    """Check that no column of a table has the name of a temporary column; TableError if one has."""
    for name in schema.names:
        if name.lower().startswith(RESERVED):
            raise TableError(
                f"{where} has a column {name!r}. st-spark keeps names with {RESERVED} for itself.", "rename the column."
            )


def prepare(spark: "SparkSession", where: str, table_format: str) -> bool:
    """Clean up after a crashed run, and return whether the output exists; TableError if its name is not valid."""
    if table_format == "table" and not _TABLE_NAME.fullmatch(where):
        raise TableError(
            f"{where} is not a valid name of a catalog table.", "name it table, schema.table or `quoted name`."
        )
    store = _store(spark, where, table_format)
    if store is not None:
        atomic_write.recover(store, where)
        return store.exists(where)
    return spark.catalog.tableExists(where) if table_format == "table" else files_of(spark).exists(where)


def check_append(spark: "SparkSession", new: "StructType", where: str, table_format: str, column: str) -> None:
    """Check before the work that an append fits the table; TableError with the first difference if not."""
    check_same_schema(read(spark, where, table_format).schema, new, where, column)


def check_same_schema(table: "StructType", new: "StructType", where: str, column: str) -> None:
    """Check that rows of schema `new` fit a table; `column` is the column with the metadata. See check_append()."""
    ours = {field.name: field.dataType.simpleString() for field in new.fields}
    theirs = {field.name: field.dataType.simpleString() for field in table.fields}
    names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    if names:
        missing = "missing"
        kinds = (f"{name} ({theirs.get(name, missing)} there, {ours.get(name, missing)} here)" for name in names)
        raise TableError(
            f"Cannot append to {where}: the columns differ: {', '.join(kinds)}.",
            "append the same columns, or overwrite the table.",
        )
    check_same_vectors(table, new, where, column)


def write(df: "DataFrame", where: str, table_format: str, mode: str) -> int | None:
    """Write a table. If the write fails, the old table stays as it is.

    Args:
        df: The rows to write. They may be read from the table that they overwrite.
        where: Path, or name of a catalog table.
        table_format: One of choices.FORMATS_OUT.
        mode: One of choices.MODES. Call check_append() before an append.

    Returns:
        The version of a Delta table, None for other formats.
    """
    spark = df.sparkSession
    store = _store(spark, where, table_format)
    if isinstance(store, atomic_write.Folders):
        df.write.parquet(store.beside(where, "new"), mode="overwrite")
        if mode == "append" and store.exists(where):
            store.append(where)
        else:
            atomic_write.replace(store, where)
        return None
    if store is not None and mode != "append":
        df.write.saveAsTable(store.beside(where, "new"), mode="overwrite")
        atomic_write.replace(store, where)
        return None
    writer = df.write.mode("errorifexists" if mode == "error" else mode)
    if mode == "overwrite":
        writer = writer.option("overwriteSchema", "true")  # for Delta; other formats always take the new columns
    if table_format == "table":
        writer.saveAsTable(where)
    else:
        writer.format("delta").save(where)
    return _delta_version(spark, where, table_format)


def _store(spark: "SparkSession", where: str, table_format: str) -> atomic_write.Store | None:
    """Return how to replace the table in one move; None if the format has transactions."""
    if table_format == "parquet":
        return atomic_write.Folders(files_of(spark))
    if table_format == "delta" or _provider(spark, where) in ("delta", "iceberg", "hudi"):
        return None
    return atomic_write.CatalogTables(spark)


def _provider(spark: "SparkSession", where: str) -> str:
    """Return the format of a catalog table, also of one that does not exist yet."""
    if not spark.catalog.tableExists(where):
        return str(spark.conf.get("spark.sql.sources.default", "parquet")).lower()
    rows = spark.sql(f"DESCRIBE TABLE EXTENDED {where}").collect()
    return next((str(row[1]).lower() for row in rows if row[0] == "Provider"), "parquet")


def _delta_version(spark: "SparkSession", where: str, table_format: str) -> int | None:
    if table_format == "table" and _provider(spark, where) != "delta":
        return None
    # SQL looks for relative paths in the warehouse, the writer above in the working directory.
    name = where if table_format == "table" else f"delta.`{files_of(spark).absolute(where)}`"
    return int(spark.sql(f"DESCRIBE HISTORY {name} LIMIT 1").collect()[0]["version"])


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
            f"{where} is a Delta table, and this Spark session has no Delta.",
            "start Spark with `--packages io.delta:delta-spark_...` and Delta's extensions (docs.delta.io).",
        )
    if found := re.search(r"\[COLUMN_ALREADY_EXISTS\]\D*?`(.+?)`", text):
        return TableError(
            f"{where} has several columns named {found[1]!r}, if the case of letters is ignored.",
            "set spark.sql.caseSensitive=true in Spark's configuration, or rename one of them.",
        )
    lines = text.splitlines() or [type(error).__name__]
    reason = next((line for line in lines if "[" in line), lines[0])
    return TableError(
        f"{where} cannot be read as {table_format}: {reason.strip()}", "check its format: --input-format."
    )

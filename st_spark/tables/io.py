"""Reading and writing tables: the only room that knows formats, modes and what makes a write all or nothing.

Parquet is staged and swapped (see `swap`); a Delta commit is atomic by itself; a catalog table follows its provider.
"""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NoReturn

from st_spark.errors import StSparkError, TableError
from st_spark.spark.filesystem import files_of
from st_spark.tables import atomic_write, columns
from st_spark.tables.columns import CORRUPT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_SUFFIXES = {"csv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet"}
# A quoted field may hold line breaks and doubled quotes (RFC 4180); every column stays a string. Nothing between two
# commas is null, "" is an empty text: so the null value must be another than the empty one.
_CSV = {"header": "true", "multiLine": "true", "escape": '"', "emptyValue": "", "nullValue": "\0"}
_TABLE_NAME = re.compile(r"(?:\w+|`[^`]+`)(?:\.(?:\w+|`[^`]+`)){0,2}")


def find_format(spark: "SparkSession", where: str) -> str:
    """The format of an existing table, told from its name: csv, json, parquet, delta or table."""
    plain = PurePosixPath(where.removesuffix(".gz").removesuffix(".bz2"))
    by_suffix = _SUFFIXES.get(plain.suffix.lstrip(".").lower())
    if by_suffix != "parquet" and by_suffix:
        return by_suffix
    files = files_of(spark)
    if not any(mark in where for mark in "*?[{"):
        if files.exists(f"{where.rstrip('/')}/_delta_log"):
            return "delta"
        if not by_suffix and _TABLE_NAME.fullmatch(where) and not files.exists(where):
            return "table"
    return "parquet"


def read(spark: "SparkSession", where: str, table_format: str | None = None) -> "DataFrame":
    """A table as a DataFrame; CSV and JSON lines get a column CORRUPT that is null in all sound rows.

    Args:
        spark: The session.
        where: A path that Spark can read, or the name of a catalog table.
        table_format: One of spec.FORMATS_IN, told from the name if None.

    Raises:
        TableError: No such path or table, or it cannot be read.
    """
    table_format = table_format or find_format(spark, where)
    try:
        if table_format == "table":
            return spark.table(where)
        if table_format in ("csv", "json"):
            return _read_text(spark, where, table_format)
        return spark.read.format(table_format).load(where)
    except Exception as error:
        raise table_error(error, where, table_format) from error


def _read_text(spark: "SparkSession", where: str, table_format: str) -> "DataFrame":
    from pyspark.sql.types import StringType, StructField, StructType

    options = _CSV if table_format == "csv" else {}
    found = spark.read.format(table_format).options(**options).load(where).schema
    sound = [each for each in found.fields if each.name != "_corrupt_record"]  # JSON adds it when it has met one
    if not sound:
        raise TableError(f"{where} has no row that can be read as {table_format}.", "check its format: --input-format.")
    schema = StructType([*sound, StructField(CORRUPT, StringType())])
    reader = spark.read.format(table_format).options(**options, mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT)
    return reader.schema(schema).load(where)


def prepare(spark: "SparkSession", where: str, table_format: str) -> bool:
    """Undoes what a crashed run left at an output, and says whether a table is there; TableError for no name."""
    if table_format == "table" and not _TABLE_NAME.fullmatch(where):
        raise TableError(f"{where} is no name of a catalog table.", "name it as table, schema.table or `quoted name`.")
    store = _store(spark, where, table_format)
    if store is not None:
        atomic_write.recover(store, where)
        return store.exists(where)
    return spark.catalog.tableExists(where) if table_format == "table" else files_of(spark).exists(where)


def refuse_existing(where: str) -> NoReturn:
    """Raises the error of mode error."""
    raise TableError(f"The output {where} exists.", "choose --mode overwrite or append, or another --output.")


def check_append(spark: "SparkSession", new: "StructType", where: str, table_format: str, column: str) -> None:
    """Refuses, before any work is done, an append to a table of other columns or of vectors made otherwise.

    Raises:
        TableError: The first difference, by name.
    """
    old = read(spark, where, table_format).schema
    ours = {each.name: each.dataType.simpleString() for each in new.fields}
    theirs = {each.name: each.dataType.simpleString() for each in old.fields}
    odd = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    if odd:
        said = ", ".join(f"{name} ({theirs.get(name, 'none')} there, {ours.get(name, 'none')} here)" for name in odd)
        raise TableError(f"{where} has other columns: {said}.", "append tables of the same columns, or overwrite it.")
    columns.check_same_vectors(old, new, where, column)


def write(df: "DataFrame", where: str, table_format: str, mode: str) -> int | None:
    """Writes a table, all of it or nothing.

    Args:
        df: What to write; it may be read from the very table that it overwrites.
        where: Path, or name of a catalog table.
        table_format: One of spec.FORMATS_OUT.
        mode: One of spec.MODES; `check_append` has been asked before.

    Returns:
        The version of a Delta table, None for the other formats.
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
        writer = writer.option("overwriteSchema", "true")  # Delta's; other formats always take the new columns
    if table_format == "table":
        writer.saveAsTable(where)
    else:
        writer.format("delta").save(where)
    return _delta_version(spark, where, table_format)


def _store(
    spark: "SparkSession", where: str, table_format: str
) -> atomic_write.Folders | atomic_write.CatalogTables | None:
    """How to stage and swap a table; None where the format has transactions of its own."""
    if table_format == "parquet":
        return atomic_write.Folders(files_of(spark))
    if table_format == "delta" or _provider(spark, where) in ("delta", "iceberg", "hudi"):
        return None
    return atomic_write.CatalogTables(spark)


def _provider(spark: "SparkSession", where: str) -> str:
    """The format behind a catalog table, existing or about to be made."""
    if not spark.catalog.tableExists(where):
        return str(spark.conf.get("spark.sql.sources.default", "parquet")).lower()
    rows = spark.sql(f"DESCRIBE TABLE EXTENDED {where}").collect()
    return next((str(row[1]).lower() for row in rows if row[0] == "Provider"), "parquet")


def _delta_version(spark: "SparkSession", where: str, table_format: str) -> int | None:
    if table_format == "table" and _provider(spark, where) != "delta":
        return None
    # SQL would look for a relative path in the warehouse; the writer above looked for it elsewhere.
    name = where if table_format == "table" else f"delta.`{files_of(spark).absolute(where)}`"
    return int(spark.sql(f"DESCRIBE HISTORY {name} LIMIT 1").collect()[0]["version"])


def table_error(error: Exception, where: str, table_format: str) -> StSparkError:
    """What Spark said about a table, as one line with a fix."""
    if isinstance(error, StSparkError):
        return error
    said = str(error)
    if "PATH_NOT_FOUND" in said or "TABLE_OR_VIEW_NOT_FOUND" in said or "SCHEMA_NOT_FOUND" in said:
        return TableError(
            f"There is no {'table' if table_format == 'table' else 'path'} {where}.",
            "check the name; a path is seen from where Spark runs.",
        )
    if "DATA_SOURCE_NOT_FOUND" in said and "delta" in said:
        return TableError(
            f"{where} is a Delta table, and this Spark session has no Delta.",
            "start Spark with `--packages io.delta:delta-spark_...` and Delta's extensions (docs.delta.io).",
        )
    reason = next(
        (line for line in said.splitlines() if "[" in line), said.splitlines()[0] if said else type(error).__name__
    )
    return TableError(
        f"{where} cannot be read as {table_format}: {reason.strip()}", "check its format: --input-format."
    )

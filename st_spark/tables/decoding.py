"""Encodings of CSV and JSON lines: how Spark reads them, and which rows have characters that it could not decode."""

import codecs
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.tables.columns import CORRUPT, RESERVED, quoted_column, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

# What Spark writes for bytes that are not in the encoding.
REPLACEMENT = "\ufffd"
# Whether the text that a chunk is a part of has bytes that are not UTF-8. The chunk has U+FFFD in their place.
NOT_UTF8 = f"{RESERVED}not_utf8"
# Spark's own encodings, by their names in Python. It reads others, such as cp1252, with a setting only.
_SPARK_NAMES = {
    "ascii": "us-ascii",
    "iso8859-1": "iso-8859-1",
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
    "utf-32": "utf-32",
}


def spark_encoding(spark: "SparkSession", encoding: str) -> str:
    """Return Spark's name of an encoding, and let the session read it."""
    name = codecs.lookup(encoding).name
    if name not in _SPARK_NAMES:
        spark.conf.set("spark.sql.legacy.javaCharsets", "true")
    return _SPARK_NAMES.get(name, name)


def is_undecodable(df: "DataFrame", names: "Sequence[str]") -> "Column":
    """Return a condition: a readable row has a character in one of these columns that Spark could not decode."""
    columns = [quoted_column(name) for name in names if df.schema[name].dataType.typeName() == "string"]
    found = (sf.coalesce(column.contains(REPLACEMENT), sf.lit(False)) for column in columns)
    return readable(df) & reduce(or_, found, sf.lit(False))


def is_not_utf8(schema: "StructType", names: "Sequence[str]") -> "Column":
    """Return a condition: one of these strings has bytes that are not UTF-8. Spark's strings can hold any bytes."""
    if NOT_UTF8 in schema.names:
        return sf.col(NOT_UTF8)
    if not hasattr(sf, "is_valid_utf8"):  # PySpark 4.0
        return sf.lit(False)
    columns = [quoted_column(name) for name in names if schema[name].dataType.typeName() == "string"]
    return reduce(or_, (sf.coalesce(~sf.is_valid_utf8(column), sf.lit(False)) for column in columns), sf.lit(False))


def count_bad_texts(df: "DataFrame", where: str, names: "Sequence[str]", encoding: str | None) -> dict[str, int]:
    """Count the rows of CSV and JSON lines that are corrupt, or undecodable in one of the columns; 0 for other formats.

    Args:
        df: The rows.
        where: Their path.
        names: The columns.
        encoding: The encoding of the file, by default UTF-8.
    """
    if CORRUPT not in df.columns:
        return {"corrupt": 0, "undecodable": 0}
    # Spark cannot read CORRUPT alone, so another column is counted too.
    counted = df.agg(
        sf.count(quoted_column(CORRUPT)),
        sf.count_if(is_undecodable(df, names)),
        sf.count(quoted_column(df.columns[0])),
    ).collect()[0]
    return {"corrupt": counted[0], "undecodable": checked_count(df.sparkSession, where, encoding, counted[1])}


def checked_count(spark: "SparkSession", where: str, encoding: str | None, rows: int) -> int:
    """Return the number of undecodable rows: 0 if all bytes are UTF-8, so that U+FFFD is in the file itself."""
    utf_8 = encoding is None or _SPARK_NAMES.get(codecs.lookup(encoding).name) == "utf-8"
    if not rows or not utf_8 or not hasattr(sf, "is_valid_utf8"):  # PySpark 4.0
        return rows
    lines = spark.read.text(where)  # as bytes
    return 0 if lines.where(~sf.is_valid_utf8("value")).isEmpty() else rows

"""Encodings of CSV and JSON lines: how Spark reads them, and which rows have characters that it could not decode."""

import codecs
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.tables.columns import quoted_column, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

# What Spark writes for bytes that are not in the encoding.
REPLACEMENT = "\ufffd"
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


def checked_count(spark: "SparkSession", where: str, encoding: str | None, rows: int) -> int:
    """Return the number of undecodable rows: 0 if all bytes are UTF-8, so that U+FFFD is in the file itself."""
    utf_8 = encoding is None or _SPARK_NAMES.get(codecs.lookup(encoding).name) == "utf-8"
    if not rows or not utf_8 or not hasattr(sf, "is_valid_utf8"):  # PySpark 4.0
        return rows
    lines = spark.read.text(where)  # as bytes
    return 0 if lines.where(~sf.is_valid_utf8("value")).isEmpty() else rows

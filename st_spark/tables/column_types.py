"""Types of columns: give types to the columns of CSV and JSON lines, and cast new rows to the types of their table."""

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException
from pyspark.sql import functions as sf
from pyspark.sql.types import (
    AtomicType,
    DateType,
    DecimalType,
    FractionalType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from st_spark.errors import InputError, TableError
from st_spark.tables.columns import CORRUPT, check_columns, quoted_column, quoted_name, readable

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType

_DIGITS = 38  # of Spark's longest decimal numbers


def parse_types(spark: "SparkSession", text: str) -> StructType:
    """Return the columns of a text such as "id INT, date DATE"; InputError if Spark cannot read it."""
    try:
        return spark.createDataFrame([], text).schema
    except Exception as error:
        reason = next(filter(None, str(error).splitlines()), type(error).__name__)
        fix = 'write names and types as in SQL: "id INT, date DATE".'
        raise InputError(f"The schema {text!r} cannot be read: {reason}.", fix) from error


def as_text(columns: StructType, types: StructType, where: str, table_format: str) -> StructType:
    """Return the schema to read a text file with: columns that parse_columns() parses are strings.

    Args:
        columns: The columns of the file, with the types that Spark has found.
        types: Given types of some of them.
        where: The name of the file, for errors.
        table_format: csv or json.
    """
    check_columns(columns, where, (), types.names)
    kinds = {each.name: StringType() if _is_parsed(each.dataType) else each.dataType for each in types.fields}
    for name, kind in kinds.items():
        if table_format == "csv" and kind != StringType():
            raise InputError(f"A CSV file has no values of the type {kind.simpleString()} of {name!r}.", "use STRING.")
    return StructType([StructField(each.name, kinds.get(each.name, each.dataType)) for each in columns.fields])


def parse_columns(df: "DataFrame", types: StructType) -> "DataFrame":
    """Parse strings as the given types. CORRUPT says why, if a row has a value that is not of its type.

    Spaces around a value are ignored, and a blank one is null. Dates are written as 2026-11-26.
    """
    parsed = {each.name: _parse(each) for each in types.fields if _is_parsed(each.dataType)}
    corrupt = sf.coalesce(CORRUPT, *(problem for _, problem in parsed.values()))
    columns = (
        parsed[name][0].alias(name)
        if name in parsed
        else corrupt.alias(name)
        if name == CORRUPT
        else quoted_column(name)
        for name in df.columns
    )
    return df.select(*columns)


def _is_parsed(kind: "DataType") -> bool:
    return isinstance(kind, AtomicType) and kind.typeName() not in ("string", "binary", "char", "varchar", "variant")


def _parse(field: StructField) -> "tuple[Column, Column]":
    """Return the value, and a text that says what is wrong with it: null if nothing is."""
    kind, text = field.dataType, quoted_column(field.name)
    value = _try_cast(field.name, kind)
    if isinstance(kind, DecimalType):  # Spark rounds to the scale
        sound = value == _try_cast(field.name, DecimalType(_DIGITS, _DIGITS - kind.precision + kind.scale))
    elif isinstance(kind, FractionalType):  # Spark reads 1e400 as infinity
        sound = (sf.abs(value) != float("inf")) | text.rlike("(?i)inf")
    elif isinstance(kind, DateType):  # Spark cuts the time off, and knows "today"
        sound = value.cast("string") == sf.trim(text)
    elif isinstance(kind, TimestampType | TimestampNTZType):  # Spark adds today to a time
        sound = text.rlike(r"^\s*\d{4}-\d\d?-\d\d?")
    else:
        sound = value.isNotNull()
    problem = sf.concat(sf.lit(f"{field.name}: "), text, sf.lit(f" is no {kind.simpleString().upper()}"))
    wrong = (sf.trim(text) != "") & ~sf.coalesce(sound, sf.lit(False))
    return value, sf.when(wrong, problem)


def _try_cast(name: str, kind: "DataType") -> "Column":
    return sf.expr(f"try_cast({quoted_name(name)} AS {kind.simpleString()})")


def fit(df: "DataFrame", table: StructType, source: str, where: str, skip: Collection[str] = ()) -> "DataFrame":
    """Cast the columns of new rows to the types of the table that they go to, if no value changes.

    Args:
        df: The new rows.
        table: The columns of the table.
        source: The name of the new rows, for the error.
        where: The name of the table.
        skip: Columns that are left alone.

    Raises:
        TableError: A value would change, as "007" would as a number. The first one is named.
    """
    wanted = {each.name: each.dataType for each in table.fields if each.name not in skip}
    casts = {
        each.name: wanted[each.name]
        for each in df.schema.fields
        if wanted.get(each.name, each.dataType) != each.dataType and _can_cast(df, each.name, wanted[each.name])
    }
    if casts:
        _check_lossless(df, casts, source, where)
    return df.withColumns({name: _try_cast(name, kind) for name, kind in casts.items()})


def _check_lossless(df: "DataFrame", casts: "Mapping[str, DataType]", source: str, where: str) -> None:
    lossy = []
    for name, kind in casts.items():
        changed = readable(df) & ~_back(df, name, kind).eqNullSafe(quoted_column(name))
        lossy.append(sf.first(sf.when(changed, quoted_column(name).cast("string")), ignorenulls=True).alias(name))
    for name, found in df.agg(*lossy).collect()[0].asDict().items():
        if found is not None:
            here, there = (each.simpleString().upper() for each in (df.schema[name].dataType, casts[name]))
            raise TableError(
                f"{source} has {name} {found!r} ({here}), and {where} has {there} there: the value would change.",
                f'give the type of a CSV or JSON column with --schema "{_in_sql(name)} {there}", or cast the column.',
            )


def _in_sql(name: str) -> str:
    return name if re.fullmatch("[A-Za-z_]+", name) else quoted_name(name)


def _can_cast(df: "DataFrame", name: str, kind: "DataType") -> bool:
    """Return whether Spark can cast a column to a type and back: not a number to a date, for example."""
    if not all(isinstance(each, AtomicType | NumericType) for each in (df.schema[name].dataType, kind)):
        return False
    try:
        _ = df.select(_back(df, name, kind)).schema
    except AnalysisException:
        return False
    return True


def _back(df: "DataFrame", name: str, kind: "DataType") -> "Column":
    """Return a column that is cast to a type, and back."""
    return _try_cast(name, kind).cast(df.schema[name].dataType)

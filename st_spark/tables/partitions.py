"""Partitions of a table: rows with equal values of some columns, which lie in one folder."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import AtomicType, BinaryType, IntegralType, StringType, StructType

from st_spark.errors import InputError, TableError
from st_spark.tables.columns import check_columns, quoted_column, readable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Each partition is a folder, and each task can write a file into each.
MAX_PARTITIONS = 10_000


def check_partition_columns(df: "DataFrame", columns: Sequence[str], where: str) -> None:
    """Check that an input can be partitioned by some columns, and loses nothing; InputError if not."""
    check_columns(df.schema, where, (), columns)
    for name in columns:
        kind = df.schema[name].dataType
        if not isinstance(kind, AtomicType) or isinstance(kind, BinaryType):
            raise InputError(
                f"{where} cannot be partitioned by {name!r}: it holds {kind.simpleString()}.", "choose another column."
            )
        # Spark would write null for it without a word.
        empty = readable(df) & (quoted_column(name) == "")
        if isinstance(kind, StringType) and not df.where(empty).isEmpty():
            raise InputError(
                f"{where} has an empty text in the partition column {name!r}, which would be stored as null.",
                "write null or another value there.",
            )


def new_partitions(df: "DataFrame", columns: Sequence[str], where: str) -> set[tuple[Any, ...]]:
    """Return the partitions of an input; InputError if there are too many."""
    found = partitions_of(df.where(readable(df)), columns)
    if len(found) > MAX_PARTITIONS:
        raise InputError(
            f"{where} has {len(found):,} values of {', '.join(columns)}: each would be a partition.",
            "choose a column with fewer values, such as a date.",
        )
    return found


def partitions_of(df: "DataFrame", columns: Sequence[str]) -> set[tuple[Any, ...]]:
    """Return the values of the partition columns."""
    return set(map(tuple, df.select(*map(quoted_column, columns)).distinct().collect()))


def check_same_partitions(where: str, there: Sequence[str], asked: Sequence[str]) -> None:
    """Check that a table has the partition columns that a job is asked for; TableError if not."""
    if list(there) != list(asked):
        layout = f"is partitioned by {', '.join(there)}" if there else "has no partitions"
        raise TableError(
            f"{where} {layout}; this job is to partition it by {', '.join(asked)}.",
            "leave out --partition-by to keep the table as it is, or name another --output.",
        )


def check_spelling(where: str, folders: Iterable[str], schema: StructType) -> None:
    """Check that Spark finds its own names of the partitions there; TableError for month=01: Spark writes month=1."""
    for folder in folders:
        for part in folder.split("/"):
            name, _, value = part.partition("=")
            number = name in schema.names and isinstance(schema[name].dataType, IntegralType)
            if number and re.fullmatch(r"[+-]?0\d+", value):
                raise TableError(
                    f"{where} has the partition {part}, which this job would write as {name}={int(value)}.",
                    f"write {name!r} as a string.",
                )

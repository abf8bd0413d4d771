"""The rows that a job of pairs or groups cannot use: stop if there are too many, or return them as a table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as sf

from st_spark.choices import REASONS
from st_spark.join.input_stats import why_set_aside
from st_spark.join.shuffle import ID, VECTOR
from st_spark.steps import bad_rows as bad_row_limit
from st_spark.tables.bad_rows import PROBLEM, name_some, problem, rejected
from st_spark.tables.columns import CORRUPT, quoted_column
from st_spark.tables.vector_types import vector_values

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import TableStats
    from st_spark.specs.fields import VectorInput
    from st_spark.steps.vector_input import VectorTable

# The reasons for which a row is bad. The job sets other rows aside, too: a null key, or a text that is too short.
_BAD = ("null id", *REASONS)
# A table of rejected rows has the name of the table and the id of each row.
_TABLE, _ID = "table", "id"
Side = tuple["VectorTable", "TableStats", str]


@contextmanager
def found(job: "VectorInput", sides: Sequence[Side], score: str) -> "Iterator[DataFrame]":
    """Do what find() does. Executors keep the rows on their disks inside `with`: the output can replace a table."""
    rows = find(job, sides, score).persist(StorageLevel.DISK_ONLY)
    try:
        if job.on_error == "quarantine":
            rows.count()
        yield rows
    finally:
        rows.unpersist()


def find(job: "VectorInput", sides: Sequence[Side], score: str) -> "DataFrame":
    """Check that no table has more bad rows than the job allows, and return the bad rows.

    Args:
        job: The job.
        sides: The tables, with their counts and id columns.
        score: It decides whether vectors of zeros are bad.

    Returns:
        table, id (a string if the tables have ids of several types), reason, column and raw_text.

    Raises:
        InputError: There are too many.
    """
    found = []
    for table, stats, id_column in sides:
        bad = _rows(table, stats, id_column, score)
        counts = table.unread | {name: stats.set_aside[name] for name in _BAD if name in stats.set_aside}
        rows = stats.rows + sum(table.unread.values())
        bad_row_limit.check(job, table.where, rows, counts, lambda bad=bad: name_some(bad, _ID))  # type: ignore[misc]
        found.append(bad)
    if len({each.schema[_ID].dataType for each in found}) > 1:
        found = [each.withColumn(_ID, sf.col(_ID).cast("string")) for each in found]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), found)


def _rows(table: "VectorTable", stats: "TableStats", id_column: str, score: str) -> "DataFrame":
    """Return the bad rows of a table."""
    df = table.df if stats.set_aside else table.df.limit(0)
    bad = _named(mark(df, id_column, table.vector, table.source, stats.dimension, score), table, id_column)
    if table.bad is None:
        return bad
    return bad.unionByName(_named(table.bad, table, id_column), allowMissingColumns=True)


def mark(df: "DataFrame", id_column: str, vector: str, source: str, dimension: int, score: str) -> "DataFrame":
    """Return the ids, under their own name, with PROBLEM for rows that cannot be joined.

    Args:
        df: The rows.
        id_column: Their id column.
        vector: Their vector column.
        source: The column to name in PROBLEM.
        dimension: See why_set_aside().
        score: See why_set_aside().
    """
    rows = df.select(quoted_column(id_column).alias(ID), vector_values(df.schema, vector).alias(VECTOR))
    why = why_set_aside(rows, dimension, score)
    column = sf.when(why == "null id", id_column).otherwise(source)
    return rows.select(sf.col(ID).alias(id_column), sf.when(why.isNotNull(), problem(why, column)).alias(PROBLEM))


def _named(rows: "DataFrame", table: "VectorTable", id_column: str) -> "DataFrame":
    kept = [quoted_column(name) for name in (PROBLEM, CORRUPT) if name in rows.columns]
    ids = quoted_column(id_column).alias(_ID)
    return rejected(rows.select(sf.lit(table.where).alias(_TABLE), ids, *kept), (_TABLE, _ID))

"""Counts of the input tables before a join: rows, and what is set aside. One Spark job for both tables."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import from_arrow_schema

from st_spark.errors import InputError
from st_spark.join.shuffle import ID, VECTOR, map_batches
from st_spark.join.stored_vectors import check_score, stored_form
from st_spark.join.tasks import row_stats
from st_spark.join.tasks.row_stats import IDS, REASON, SIZE, RowStats
from st_spark.spark.cluster import core_rows

if TYPE_CHECKING:
    from st_spark.join.inputs import TablePair
    from st_spark.model.quantization import Form

# What is counted: rows of a side (0 or 1, or _CORE for rows that count a core) by SIZE and REASON, and hashes of ids.
_SIDE, _ROWS = "side", "rows"
_CORE = -1
_SHOWN_IDS = 5
# The first Spark with vector_norm().
_VECTOR_NORM = (4, 2)

Counts = Counter[tuple[int, str | None]]


@dataclass(frozen=True)
class TableStats:
    """Counts of one table."""

    rows: int  # All rows
    set_aside: dict[str, int]  # Rows that are not joined, by reason: "null id", "null key" and choices.REASONS
    dimension: int  # The most common number of values of a vector (the larger of two in a tie); 0 without vectors

    @property
    def kept(self) -> int:
        """Rows that are joined."""
        return self.rows - sum(self.set_aside.values())


@dataclass(frozen=True)
class InputStats:
    """Counts of both tables."""

    left: TableStats  # The left table
    right: TableStats | None  # The right table; None if the left one is joined with itself
    cores: int  # Tasks that run at once

    @property
    def dimension(self) -> int:
        """Number of values in a vector, 1 if there are no vectors."""
        return max(self.left.dimension, self.right.dimension if self.right else 0, 1)

    @property
    def comparisons(self) -> int:
        """Pairs of rows (each once if a table is joined with itself)."""
        n = self.left.kept
        return n * self.right.kept if self.right else n * (n - 1) // 2


def collect_stats(
    tables: "TablePair",
    score: str,
    names: tuple[str, str] = ("the left table", "the right table"),
    *,
    reasons: Sequence[Column] | None = None,
) -> InputStats:
    """Count the rows of both tables in one pass. The score decides which vectors cannot be joined.

    `names` are the names of the tables in errors. `reasons` say for each table why a row is set aside before its vector
    is read, or null.

    Raises:
        InputError: A table has duplicate ids, or vectors that the score cannot compare, or the tables have vectors of
            different sizes.
    """
    both = [tables.left] if tables.right is None else [tables.left, tables.right]
    forms = [stored_form(df.schema, VECTOR, names[side]) for side, df in enumerate(both)]
    for side, form in enumerate(forms):
        check_score("float32" if form is None else form.precision, score, names[side])
    reasons = reasons or [sf.lit(None).cast("string")] * len(both)
    parts = [core_rows(tables.left.sparkSession).select(sf.lit(_CORE).alias(_SIDE), sf.lit(-1).alias(SIZE))]
    for side, (df, reason) in enumerate(zip(both, reasons, strict=True)):
        rows = _columns(df, reason, tables.keys, forms[side])
        rows = map_batches(rows, RowStats(score, forms[side]), from_arrow_schema(row_stats.SCHEMA))
        parts.append(_entries(rows).withColumn(_SIDE, sf.lit(side)))
    counts, repeated = _count(reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts))
    for side, df in enumerate(both):
        if side in repeated:
            _check_duplicates(df.where(reasons[side].isNull()), names[side])
    left, *right = (_table_stats(counts[side]) for side in range(len(both)))
    result = InputStats(left, right[0] if right else None, counts[_CORE].total())
    _check_dimensions(result, names)
    return result


def _columns(df: DataFrame, reason: Column, keys: tuple[str, ...], form: "Form | None") -> DataFrame:
    """Return the columns that RowStats reads."""
    early = sf.when(reason.isNotNull(), reason).when(sf.col(ID).isNull(), sf.lit("null id"))
    for key in keys:
        early = early.when(sf.col(key).isNull(), sf.lit("null key"))
    valid = _is_valid(df)
    # An empty array in place of null: Spark converts many null arrays to Arrow in quadratic time.
    unchecked = sf.when(~valid, sf.col(VECTOR)).otherwise(sf.array().cast(df.schema[VECTOR].dataType))
    size = sf.coalesce(sf.size(VECTOR), sf.lit(-1))
    if form is not None:  # the dimension of a stored vector; 0 if it has another size
        size = sf.when(size == form.width, form.dim).otherwise(sf.least(size, sf.lit(0)))
    return df.select(
        size.alias(SIZE),
        early.alias(REASON),
        sf.when(reason.isNull() & sf.col(ID).isNotNull(), sf.xxhash64(ID)).alias(IDS),
        valid.alias(row_stats.VALID),
        unchecked.alias(row_stats.READ),
    )


def _entries(rows: DataFrame) -> DataFrame:
    """Return an entry with SIZE and REASON for each row, and an entry with IDS for each of its hashes."""
    row = sf.struct(SIZE, REASON, sf.lit(None).cast("bigint").alias(IDS))
    own = sf.struct(sf.lit(None).cast("int").alias(SIZE), sf.lit(None).cast("string").alias(REASON), IDS)
    return rows.select(sf.inline(sf.array(row, own))).where(sf.col(SIZE).isNotNull() | sf.col(IDS).isNotNull())


def _count(entries: DataFrame) -> tuple[dict[int, Counts], set[int]]:
    """Return the rows of each side by SIZE and REASON, and the sides in which the hash of an id is repeated."""
    each = entries.groupBy(_SIDE, SIZE, REASON, IDS).agg(sf.count(sf.lit(1)).alias(_ROWS))
    counted = each.groupBy(_SIDE, SIZE, REASON).agg(sf.sum(_ROWS), sf.max(_ROWS)).collect()
    counts: dict[int, Counts] = {side: Counter() for side in (_CORE, 0, 1)}
    for side, size, reason, rows, _ in counted:
        if size is not None:
            counts[side][size, reason] = rows
    return counts, {side for side, size, _, _, most in counted if size is None and most > 1}


def _is_valid(df: DataFrame) -> Column:
    """Return a condition: Spark itself finds that the vector is valid. Python takes many times as long to find it."""
    version = tuple(map(int, re.findall(r"\d+", df.sparkSession.version)[:2]))
    if version < _VECTOR_NORM or df.schema[VECTOR].dataType.simpleString() != "array<float>":
        return sf.lit(False)
    norm = sf.call_function("vector_norm", sf.col(VECTOR), sf.lit(2.0).cast("float"))
    return sf.coalesce((norm > 0) & (norm < sf.lit(float("inf"))), sf.lit(False))


def why_set_aside(df: DataFrame, dimension: int, score: str) -> Column:
    """Return why a row with ID and VECTOR is not joined, as TableStats counts it; null for a row that is joined.

    Args:
        df: The rows.
        dimension: Number of values of a vector.
        score: It decides whether vectors of zeros can be joined.
    """
    form = stored_form(df.schema, VECTOR, dimension=dimension)
    vector, size, width = sf.col(VECTOR), sf.size(VECTOR), dimension if form is None else form.width
    why = sf.when(sf.col(ID).isNull(), "null id").when(vector.isNull(), "null").when(size != width, "dimension")
    if form is not None:
        why = why.when(sf.exists(VECTOR, lambda value: value.isNull()), "not finite")
        zeros = form.zero() if score == "cosine" else None
        return why if zeros is None else why.when(vector == sf.lit(zeros).cast(df.schema[VECTOR].dataType), "zero")
    zero = sf.lit(0.0)
    squares = sf.aggregate(VECTOR, zero, lambda total, value: total + value.cast("double") * value.cast("double"))
    why = why.when(_is_valid(df), sf.lit(None)).when(squares.isNull() | ~(squares < float("inf")), "not finite")
    return why.when(squares == 0, "zero") if score == "cosine" else why


def _table_stats(counts: Counts) -> TableStats:
    """Return the counts of a table: its dimension decides which vectors are set aside."""
    vectors, set_aside = Counter[int](), Counter[str]()
    for (size, _), rows in counts.items():
        vectors[size] += rows if size > 0 else 0
    dimension = max(vectors, key=lambda size: (vectors[size], size), default=0)
    for (size, reason), rows in counts.items():
        if size > 0 and size != dimension:
            set_aside["dimension"] += rows
        elif reason:
            set_aside[reason] += rows
    return TableStats(counts.total(), dict(sorted(set_aside.items())), max(dimension, 0))


def _check_duplicates(df: DataFrame, where: str) -> None:
    counted = df.where(sf.col(ID).isNotNull()).groupBy(ID).agg(sf.count(sf.lit(1)).alias("rows"))
    ids = [str(row[ID]) for row in counted.where("rows > 1").orderBy(ID).limit(_SHOWN_IDS).collect()]
    if ids:
        more = " and perhaps more" if len(ids) == _SHOWN_IDS else ""
        raise InputError(
            f"Duplicate ids in {where}: {', '.join(ids)}{more}.",
            "make the ids unique, with dropDuplicates([id]) for instance.",
        )


def _check_dimensions(stats: InputStats, names: tuple[str, str]) -> None:
    left, right = stats.left.dimension, stats.right.dimension if stats.right else 0
    if left and right and left != right:
        raise InputError(
            f"The vectors of {names[0]} have {left} values, of {names[1]} {right}.",
            "embed both tables with one model.",
        )

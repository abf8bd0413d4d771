"""A look at the inputs of a join before the work: their sizes, and what is set aside. One Spark job for both sides."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as sf

from st_spark.errors import InputError
from st_spark.join.meetings import ID, VECTOR
from st_spark.join.vectors import checked

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from st_spark.join.inputs import Sides

_SCHEMA = "side int, size int, reason string, rows bigint, example string"
_DUPLICATE = "duplicate id"
_SHOWN = 5


@dataclass(frozen=True)
class SideSurvey:
    """One side.

    Attributes:
        rows: All rows.
        set_aside: Rows that are not joined, by reason: "null id", "null key" and vectors.REASONS.
        dimension: Values of the most vectors (of the longer ones where it is a draw); 0 if there is no vector.
    """

    rows: int
    set_aside: dict[str, int]
    dimension: int

    @property
    def kept(self) -> int:
        """Rows that are joined."""
        return self.rows - sum(self.set_aside.values())


@dataclass(frozen=True)
class Survey:
    """Both sides.

    Attributes:
        left: The left side.
        right: The right side; None where the left one is joined with itself.
        cores: Tasks that run at once.
    """

    left: SideSurvey
    right: SideSurvey | None
    cores: int

    @property
    def dimension(self) -> int:
        """Values of a vector, 1 where there are none."""
        return max(self.left.dimension, self.right.dimension if self.right else 0, 1)

    @property
    def comparisons(self) -> int:
        """Pairs of rows to look at (of a table with itself, each once)."""
        n = self.left.kept
        return n * self.right.kept if self.right else n * (n - 1) // 2


def survey(sides: "Sides", score: str) -> Survey:
    """Counts the rows of both sides.

    Raises:
        InputError: An id stands twice in a side, or the sides have vectors of different sizes.
    """
    both = [sides.left] if sides.right is None else [sides.left, sides.right]
    spark = sides.left.sparkSession
    cores = spark.range(100_000).groupBy(sf.spark_partition_id()).agg(sf.count(sf.lit(1)).alias("rows"))
    parts = [_columns(cores, side=2, reason=sf.lit("cores"), rows="rows")]
    for side, df in enumerate(both):
        parts += [_counts(df, side, sides.keys, score), _duplicates(df, side)]
    union = parts[0]
    for part in parts[1:]:
        union = union.unionByName(part)
    found = union.collect()
    surveys = []
    for side in range(len(both)):
        ours = [row for row in found if row["side"] == side]
        _check_duplicates([row["example"] for row in ours if row["reason"] == _DUPLICATE], side)
        surveys.append(_side([(row["size"], row["reason"], row["rows"]) for row in ours]))
    survey = Survey(surveys[0], surveys[1] if len(both) == 2 else None, sum(row["side"] == 2 for row in found))
    _check_dimensions(survey)
    return survey


def count_vectors(batch: pa.RecordBatch, score: str) -> pa.RecordBatch:
    """Rows by size of the vector (-1 for none) and reason ("" for none), of a batch of missing (string) and vector."""
    counts: Counter[tuple[int, str]] = Counter()
    missing, vectors = batch.column(0), batch.column(1)
    for each in pc.value_counts(missing.drop_null()):
        counts[-1, each["values"].as_py()] += each["counts"].as_py()
    vectors = vectors.filter(missing.is_null())
    sizes = pc.list_value_length(vectors).fill_null(-1)
    for size in np.unique(sizes.to_numpy()).tolist():
        these = vectors.filter(pc.equal(sizes, size))
        if size <= 0:
            counts[size, "null" if size < 0 else "dimension"] += len(these)
            continue
        found = checked(these, size, score)
        counts[size, ""] += len(found.matrix)
        counts.update({(size, reason): rows for reason, rows in found.set_aside.items()})
    told = [{"size": size, "reason": reason, "rows": rows} for (size, reason), rows in counts.items()]
    kinds = pa.schema([("size", pa.int32()), ("reason", pa.string()), ("rows", pa.int64())])
    return pa.RecordBatch.from_pylist(told, kinds)


def _counts(df: "DataFrame", side: int, keys: tuple[str, ...], score: str) -> "DataFrame":
    missing = sf.when(sf.col(ID).isNull(), sf.lit("null id"))
    for key in keys:
        missing = missing.when(sf.col(key).isNull(), sf.lit("null key"))

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield count_vectors(batch, score)

    made = df.select(missing.alias("missing"), VECTOR).mapInArrow(count, "size int, reason string, rows bigint")
    summed = made.groupBy("size", "reason").agg(sf.sum("rows").alias("rows"))
    return _columns(summed, side, sf.col("reason"), "rows", size="size")


def _duplicates(df: "DataFrame", side: int) -> "DataFrame":
    """Some ids that stand twice. No other column is read."""
    counted = df.where(sf.col(ID).isNotNull()).groupBy(ID).agg(sf.count(sf.lit(1)).alias("rows"))
    found = counted.where("rows > 1").orderBy(ID).limit(_SHOWN)
    return _columns(found, side, sf.lit(_DUPLICATE), "rows", example=ID)


def _columns(
    df: "DataFrame", side: int, reason: "Column", rows: str, *, size: str | None = None, example: str | None = None
) -> "DataFrame":
    """The columns that all counts have."""
    return df.select(
        sf.lit(side).alias("side"),
        (sf.col(size) if size else sf.lit(-1)).cast("int").alias("size"),
        reason.alias("reason"),
        sf.col(rows).alias("rows"),
        (sf.col(example) if example else sf.lit(None)).cast("string").alias("example"),
    )


def _side(counts: list[tuple[int, str, int]]) -> SideSurvey:
    """The counts of one side, once the dimension is known."""
    vectors: Counter[int] = Counter()
    for size, _, rows in counts:
        vectors[size] += rows if size > 0 else 0
    dimension = max(vectors, key=lambda size: (vectors[size], size), default=0)
    total, aside = 0, Counter[str]()
    for size, reason, rows in counts:
        if reason == _DUPLICATE:
            continue
        total += rows
        if size > 0 and size != dimension:
            aside["dimension"] += rows
        elif reason:
            aside[reason] += rows
    return SideSurvey(total, dict(sorted(aside.items())), max(dimension, 0))


def _check_duplicates(ids: list[str], side: int) -> None:
    if ids:
        which = ("left", "right")[side]
        said = ", ".join(ids) + (" and perhaps more" if len(ids) == _SHOWN else "")
        raise InputError(
            f"Ids stand more than once in the {which} table: {said}.",
            "make the ids unique, with dropDuplicates([id]) for instance.",
        )


def _check_dimensions(survey: Survey) -> None:
    left, right = survey.left.dimension, survey.right.dimension if survey.right else 0
    if left and right and left != right:
        raise InputError(
            f"The left vectors have {left} values, the right ones {right}.", "embed both tables with one model."
        )

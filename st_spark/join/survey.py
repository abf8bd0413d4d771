"""A look at the inputs of a join before the work: their sizes, and what is set aside. One Spark job for both sides."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from st_spark.errors import InputError
from st_spark.join.meetings import ID, VECTOR
from st_spark.join.vectors import checked
from st_spark.survey import core_rows

if TYPE_CHECKING:
    from pyspark.sql import Column

    from st_spark.join.inputs import Sides

_NAMES = ("side", "size", "reason", "rows")
_SCHEMA = "side int, size int, reason string, rows bigint"
# Sides that are none: a row for each core, and one if an id may stand twice.
_CORES, _REPEATED = 2, 3
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


def survey(sides: "Sides", score: str, names: tuple[str, str] = ("left", "right")) -> Survey:
    """Counts the rows of both sides.

    Args:
        sides: Both sides.
        score: One of vectors.SCORES.
        names: What errors call them.

    Raises:
        InputError: An id stands twice in a side, or the sides have vectors of different sizes.
    """
    both = [sides.left] if sides.right is None else [sides.left, sides.right]
    cores = core_rows(sides.left.sparkSession).select(*_columns(_CORES))
    found = _counts(both, sides.keys, score).unionByName(cores).unionByName(_repeated(both)).collect()
    by_side: list[Counter[tuple[int, str]]] = [Counter() for _ in range(_REPEATED + 1)]
    for row in found:
        by_side[row["side"]][row["size"], row["reason"]] += row["rows"]
    if by_side[_REPEATED]:
        for side, df in enumerate(both):
            _check_duplicates(df, names[side])
    surveys = [_side(by_side[side]) for side in range(len(both))]
    survey = Survey(surveys[0], surveys[1] if len(both) == 2 else None, by_side[_CORES].total())
    _check_dimensions(survey, names)
    return survey


def count_vectors(missing: pa.Array, vectors: pa.Array, score: str) -> Counter[tuple[int, str]]:
    """Rows by size of the vector (-1 for none) and reason ("" for none).

    Args:
        missing: [rows] strings: why a row is set aside before its vector is looked at, or null.
        vectors: [rows] lists.
        score: One of vectors.SCORES.
    """
    counts: Counter[tuple[int, str]] = Counter()
    if missing.null_count < len(missing):
        for each in pc.value_counts(missing.drop_null()):
            counts[-1, each["values"].as_py()] += each["counts"].as_py()
        vectors = vectors.filter(missing.is_null())
    sizes = pc.list_value_length(vectors).fill_null(-1)
    found_sizes = np.unique(sizes.to_numpy()).tolist()
    for size in found_sizes:
        these = vectors if len(found_sizes) == 1 else vectors.filter(pc.equal(sizes, size))
        if size <= 0:
            counts[size, "null" if size < 0 else "dimension"] += len(these)
            continue
        found = checked(these, size, score)
        counts[size, ""] += len(found.matrix)
        counts.update({(size, reason): rows for reason, rows in found.set_aside.items()})
    return counts


def _counts(both: "list[DataFrame]", keys: tuple[str, ...], score: str) -> "DataFrame":
    """Rows of each side by size and reason, partition by partition: few, so that nothing need be shuffled."""
    missing = sf.when(sf.col(ID).isNull(), sf.lit("null id"))
    for key in keys:
        missing = missing.when(sf.col(key).isNull(), sf.lit("null key"))
    counted = [_counted(df.select(missing.alias("missing"), VECTOR), side, score) for side, df in enumerate(both)]
    return reduce(DataFrame.unionByName, counted)


def _counted(df: "DataFrame", side: int, score: str) -> "DataFrame":
    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counts: Counter[tuple[int, str]] = Counter()
        for batch in batches:
            counts.update(count_vectors(batch.column(0), batch.column(1), score))
        # Arrays of NumPy's, not Python lists, for which Arrow would import pandas.
        size, reason = np.array([size for size, _ in counts], np.int32), np.array([why for _, why in counts], np.str_)
        rows = np.array(list(counts.values()), np.int64)
        columns = [np.full(len(counts), side, np.int32), size, reason, rows]
        yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=list(_NAMES))

    return df.mapInArrow(count, _SCHEMA)


def _repeated(both: "list[DataFrame]") -> "DataFrame":
    """A row if the hash of an id stands twice in a side: then its ids must be looked at."""
    hashed = [
        df.where(sf.col(ID).isNotNull()).select(sf.lit(side).alias("side"), sf.xxhash64(ID).alias("hash"))
        for side, df in enumerate(both)
    ]
    counted = reduce(DataFrame.unionByName, hashed).groupBy("side", "hash").agg(sf.count(sf.lit(1)).alias("rows"))
    return counted.where("rows > 1").limit(1).select(*_columns(_REPEATED))


def _columns(side: int) -> "list[Column]":
    values = sf.lit(side), sf.lit(-1), sf.lit(""), sf.lit(1).cast("bigint")
    return [value.alias(name) for value, name in zip(values, _NAMES, strict=True)]


def _side(counts: Counter[tuple[int, str]]) -> SideSurvey:
    """The counts of one side, once the dimension is known."""
    vectors: Counter[int] = Counter()
    for (size, _), rows in counts.items():
        vectors[size] += rows if size > 0 else 0
    dimension = max(vectors, key=lambda size: (vectors[size], size), default=0)
    total, aside = 0, Counter[str]()
    for (size, reason), rows in counts.items():
        total += rows
        if size > 0 and size != dimension:
            aside["dimension"] += rows
        elif reason:
            aside[reason] += rows
    return SideSurvey(total, dict(sorted(aside.items())), max(dimension, 0))


def _check_duplicates(df: "DataFrame", which: str) -> None:
    counted = df.where(sf.col(ID).isNotNull()).groupBy(ID).agg(sf.count(sf.lit(1)).alias("rows"))
    ids = [str(row[ID]) for row in counted.where("rows > 1").orderBy(ID).limit(_SHOWN).collect()]
    if ids:
        said = ", ".join(ids) + (" and perhaps more" if len(ids) == _SHOWN else "")
        raise InputError(
            f"Ids stand more than once in the {which} table: {said}.",
            "make the ids unique, with dropDuplicates([id]) for instance.",
        )


def _check_dimensions(survey: Survey, names: tuple[str, str]) -> None:
    left, right = survey.left.dimension, survey.right.dimension if survey.right else 0
    if left and right and left != right:
        raise InputError(
            f"The {names[0]} vectors have {left} values, the {names[1]} ones {right}.",
            "embed both tables with one model.",
        )

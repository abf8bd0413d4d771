"""A look at the inputs of a join before the work: their sizes, and what is set aside. One Spark job for both sides."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from st_spark.errors import InputError
from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.tasks.row_stats import (
    BUCKET,
    ID_HASH,
    IDS,
    MISSING,
    REASON,
    ROWS,
    SCHEMA,
    SIDE,
    SIZE,
    SOUND,
    TEXT_HASH,
    VECTOR_HASH,
    WHAT,
    Look,
    twice,
)
from st_spark.join.tasks.row_stats import VECTOR as VECTOR_READ
from st_spark.spark.cluster import core_rows

if TYPE_CHECKING:
    from pyspark.sql import Column

    from st_spark.join.inputs import Sides

# Of a row that stands for a core: not that of a side.
_CORE = -1
_SHOWN = 5
# The first Spark that knows the lengths of vectors, of floats.
_NORMS = (4, 2)


@dataclass(frozen=True)
class SideSurvey:
    """One side.

    Attributes:
        rows: All rows.
        set_aside: Rows that are not joined, by reason: "null id", "null key" and vectors.REASONS.
        dimension: Values of the most vectors (of the longer ones where it is a draw); 0 if there is no vector.
        alike: Whether two rows may have the same vector or the same text, if that was asked.
    """

    rows: int
    set_aside: dict[str, int]
    dimension: int
    alike: bool = False

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


def survey(
    sides: "Sides",
    score: str,
    names: tuple[str, str] = ("left", "right"),
    *,
    unfit: "Sequence[Column] | None" = None,
    text: "Column | None" = None,
    copies: bool = False,
) -> Survey:
    """Looks at the rows of both sides, once.

    Args:
        sides: Both sides.
        score: One of vectors.SCORES.
        names: What errors call them.
        unfit: For each side why a row is set aside before anything else, or null.
        text: What is equal for equal texts.
        copies: Whether to look for equal vectors and texts, of equal keys.

    Raises:
        InputError: An id stands twice in a side, or the sides have vectors of different sizes.
    """
    both = [sides.left] if sides.right is None else [sides.left, sides.right]
    why = unfit or [sf.lit(None).cast("string")] * len(both)
    looks = [
        _look(_readable(df, reason, sides.keys, text, copies=copies), Look(side, score, copies))
        for side, (df, reason) in enumerate(zip(both, why, strict=True))
    ]
    cores = core_rows(sides.left.sparkSession).select(sf.lit(_CORE).alias(SIDE))
    looked = reduce(DataFrame.unionByName, looks).repartition(SIDE, WHAT, BUCKET).mapInArrow(twice, SCHEMA)
    counts: list[Counter[tuple[int, str]]] = [Counter() for _ in both]
    repeated: set[tuple[int, str]] = set()
    running = 0
    for row in looked.unionByName(cores, allowMissingColumns=True).collect():
        if row[SIDE] == _CORE:
            running += 1
        elif row[WHAT] is not None:
            repeated.add((row[SIDE], row[WHAT]))
        else:
            counts[row[SIDE]][row[SIZE], row[REASON]] += row[ROWS]
    for side, df in enumerate(both):
        if (side, IDS) in repeated:
            _check_duplicates(df.where(why[side].isNull()), names[side])
    alike = {side for side, what in repeated if what != IDS}
    surveys = [_side(each, alike=side in alike) for side, each in enumerate(counts)]
    survey = Survey(surveys[0], surveys[1] if len(both) == 2 else None, running)
    _check_dimensions(survey, names)
    return survey


def _readable(
    df: "DataFrame", why: "Column", keys: tuple[str, ...], text: "Column | None", *, copies: bool
) -> "DataFrame":
    """What Look reads."""
    missing = sf.when(why.isNotNull(), why).when(sf.col(ID).isNull(), sf.lit("null id"))
    for key in keys:
        missing = missing.when(sf.col(key).isNull(), sf.lit("null key"))
    ids = sf.when(why.isNull() & sf.col(ID).isNotNull(), sf.xxhash64(ID))
    sound = _sound(df)
    nothing = sf.lit(None).cast("bigint")
    return df.select(
        missing.alias(MISSING),
        sf.coalesce(sf.size(VECTOR), sf.lit(-1)).alias(SIZE),
        sound.alias(SOUND),
        # Not null: of many null arrays Spark makes Arrow ones in quadratic time.
        sf.when(~sound, sf.col(VECTOR)).otherwise(sf.array().cast(df.schema[VECTOR].dataType)).alias(VECTOR_READ),
        ids.alias(ID_HASH),
        (sf.xxhash64(VECTOR, *keys) if copies else nothing).alias(VECTOR_HASH),
        (nothing if text is None else sf.xxhash64(text, *keys)).alias(TEXT_HASH),
    )


def _sound(df: "DataFrame") -> "Column":
    """True where Spark can tell that a vector can be joined: to bring it to Python costs many times as much."""
    major, minor = map(int, re.findall(r"\d+", df.sparkSession.version)[:2])
    if (major, minor) < _NORMS or df.schema[VECTOR].dataType.simpleString() != "array<float>":
        return sf.lit(False)
    norm = sf.call_function("vector_norm", sf.col(VECTOR), sf.lit(2.0).cast("float"))
    return sf.coalesce((norm > 0) & (norm < sf.lit(float("inf"))), sf.lit(False))


def _look(rows: "DataFrame", look: Look) -> "DataFrame":
    def looked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from look(batches)

    return rows.mapInArrow(looked, SCHEMA)


def _side(counts: Counter[tuple[int, str]], *, alike: bool) -> SideSurvey:
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
    return SideSurvey(total, dict(sorted(aside.items())), max(dimension, 0), alike)


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

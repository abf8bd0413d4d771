"""The rows of both sides that are mined: sound texts, each once, and sound vectors, each once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.bitext.columns import TEXT
from st_spark.bitext.text_filters import TextFilters, same_text
from st_spark.join.exact_copies import drop_rows, find_copies, hash_vectors
from st_spark.join.input_stats import InputStats, TableStats, collect_stats
from st_spark.join.inputs import TablePair
from st_spark.join.shuffle import ID

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_SAME, _REASON = "_same_text", "_reason"


@dataclass(frozen=True)
class Prepared:
    """Both sides.

    Attributes:
        sides: The rows that are mined; with TEXT where there are texts.
        survey: All rows, and those that are not mined, by reason.
        fewer: The survey of the rows that are mined alone.
    """

    sides: TablePair
    survey: InputStats
    fewer: InputStats


def prepared(sides: TablePair, filters: TextFilters, languages: Sequence[str | None] = (None, None)) -> Prepared:
    """Counts the rows, and leaves those out that cannot or shall not be mined. Spark reads them here.

    Args:
        sides: The rows, with TEXT (and LANGUAGE) or without.
        filters: What to leave out, where there are texts.
        languages: Of the source and the target, where there is LANGUAGE.

    Raises:
        InputError: An id stands twice in a side, or the sides have vectors of different sizes.
    """
    both = _both(sides)
    why = [_unfit(side, filters, language) for side, language in zip(both, languages, strict=True)]
    text = same_text() if TEXT in sides.left.columns else None
    seen = collect_stats(sides, "cosine", ("source", "target"), reasons=why, text=text, copies=True)
    fit = [side.where(reason.isNull()) for side, reason in zip(both, why, strict=True)]
    ready = _both(replace(sides, left=fit[0], right=fit[1]).joinable())
    assert seen.right is not None
    again: list[dict[str, int]] = [{}, {}]
    if seen.left.may_have_copies or seen.right.may_have_copies:
        twice = [_twice(side, sides.keys, seen.dimension) for side in ready]
        again = _counts(twice)
        drops = zip(ready, twice, again, strict=True)
        one, other = (drop_rows(side, same.select(ID), sum(counts.values())) for side, same, counts in drops)
        ready = one, other
    left, right = (_told(*each) for each in zip((seen.left, seen.right), again, strict=True))
    few = [TableStats(each.kept, {}, each.dimension) for each in (left, right)]
    return Prepared(
        replace(sides, left=ready[0], right=ready[1]),
        replace(seen, left=left, right=right),
        replace(seen, left=few[0], right=few[1]),
    )


def _both(sides: TablePair) -> "tuple[DataFrame, DataFrame]":
    assert sides.right is not None
    return sides.left, sides.right


def _unfit(side: "DataFrame", filters: TextFilters, language: str | None) -> "Column":
    return filters.unfit(language) if TEXT in side.columns else sf.lit(None).cast("string")


def _twice(side: "DataFrame", keys: tuple[str, ...], dimension: int) -> "DataFrame":
    """ID and _REASON of the rows with the text, or else the vector, of another row of the same keys and a smaller id.

    With k copies of a row, its k nearest would all be one: every ratio would be 1.
    """
    if TEXT not in side.columns:
        return _same_vectors(hash_vectors(side, keys, dimension, "cosine"), keys)
    known = hash_vectors(side.withColumn(_SAME, same_text()), (*keys, _SAME), dimension, "cosine")
    same = Window.partitionBy(_SAME, *keys)
    known = known.withColumn("_first", sf.min(ID).over(same))
    texts = known.where(sf.col(ID) != sf.col("_first")).select(ID, sf.lit("same text").alias(_REASON))
    return texts.unionByName(_same_vectors(known.where(sf.col(ID) == sf.col("_first")), keys))


def _same_vectors(digests: "DataFrame", keys: tuple[str, ...]) -> "DataFrame":
    found = find_copies(digests, keys, float("-inf"))
    return found.select(sf.col("right_id").alias(ID), sf.lit("same vector").alias(_REASON))


def _counts(parts: "Sequence[DataFrame]") -> list[dict[str, int]]:
    """Rows of each DataFrame by _REASON, but for null; in one Spark job."""
    counted = [
        df.where(sf.col(_REASON).isNotNull())
        .groupBy(_REASON)
        .agg(sf.count(sf.lit(1)).alias("rows"))
        .select(sf.lit(place).alias("place"), _REASON, "rows")
        for place, df in enumerate(parts)
    ]
    found: list[dict[str, int]] = [{} for _ in parts]
    for row in reduce(lambda one, other: one.unionByName(other), counted).collect():
        found[row["place"]][row[_REASON]] = row["rows"]
    return found


def _told(seen: TableStats, again: dict[str, int]) -> TableStats:
    return TableStats(seen.rows, seen.set_aside | dict(sorted(again.items())), seen.dimension)

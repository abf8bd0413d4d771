"""Keep the rows to mine: valid texts and valid vectors, each text and each vector once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.bitext.corpus import TEXT
from st_spark.bitext.text_filters import TextFilters, normalized_text
from st_spark.join.exact_copies import drop_rows, find_copies, hash_vectors
from st_spark.join.input_stats import InputStats, collect_stats
from st_spark.join.inputs import TablePair
from st_spark.join.shuffle import ID

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NORMALIZED, _REASON = "_normalized_text", "_reason"


def prepare(
    sides: TablePair,
    filters: TextFilters,
    languages: Sequence[str | None] = (None, None),
    names: tuple[str, str] = ("the source table", "the target table"),
) -> tuple[TablePair, InputStats]:
    """Count the rows, and drop rows that cannot be mined. Spark reads the inputs here.

    Args:
        sides: The rows; TEXT and LANGUAGE are optional.
        filters: Which texts to drop.
        languages: Languages of the source and of the target, if there is LANGUAGE.
        names: Names of the tables in errors.

    Returns:
        The rows to mine, with TEXT if there is TEXT; and counts of the inputs, with the dropped rows by reason.

    Raises:
        InputError: Duplicate ids within a side, or sides with vectors of different dimensions.
    """
    assert sides.right is not None
    tables, with_texts = (sides.left, sides.right), TEXT in sides.left.columns
    no_reason = sf.lit(None).cast("string")
    reasons = [filters.reason(language) if with_texts else no_reason for language in languages]
    stats = collect_stats(sides, "cosine", names, reasons=reasons)
    left, right = (table.where(reason.isNull()) for table, reason in zip(tables, reasons, strict=True))
    return _without_copies(replace(sides, left=left, right=right).joinable(), stats)


def _without_copies(sides: TablePair, stats: InputStats) -> tuple[TablePair, InputStats]:
    """Drop copies and count them. Otherwise the k nearest of a row could all be one text, and every ratio 1."""
    assert sides.right is not None
    assert stats.right is not None
    tables = (sides.left, sides.right)
    copied = [_copies(table, sides.keys, stats.dimension) for table in tables]
    counts = _count_by_reason(*copied)
    left, right = (
        drop_rows(table, ids, sum(count.values()))
        for table, ids, count in zip(tables, [each.select(ID) for each in copied], counts, strict=True)
    )
    counted = [
        replace(each, set_aside=each.set_aside | count)
        for each, count in zip((stats.left, stats.right), counts, strict=True)
    ]
    return replace(sides, left=left, right=right), replace(stats, left=counted[0], right=counted[1])


def _copies(table: "DataFrame", keys: tuple[str, ...], dimension: int) -> "DataFrame":
    """Return ID and _REASON of rows with the text, or else the vector, of a row with equal keys and a smaller id."""
    if TEXT not in table.columns:
        return _same_vectors(hash_vectors(table, keys, dimension, "cosine"), keys)
    rows = hash_vectors(table.withColumn(_NORMALIZED, normalized_text()), (*keys, _NORMALIZED), dimension, "cosine")
    rows = rows.withColumn("_first", sf.min(ID).over(Window.partitionBy(_NORMALIZED, *keys)))
    is_first = sf.col(ID) == sf.col("_first")
    texts = rows.where(~is_first).select(ID, sf.lit("same text").alias(_REASON))
    return texts.unionByName(_same_vectors(rows.where(is_first), keys))


def _same_vectors(hashed: "DataFrame", keys: tuple[str, ...]) -> "DataFrame":
    pairs = find_copies(hashed, keys, float("-inf"))
    return pairs.select(sf.col("right_id").alias(ID), sf.lit("same vector").alias(_REASON))


def _count_by_reason(source: "DataFrame", target: "DataFrame") -> list[dict[str, int]]:
    """Count the rows of both sides by _REASON, in one Spark job."""
    rows = source.select(sf.lit(0).alias("side"), _REASON).unionByName(target.select(sf.lit(1).alias("side"), _REASON))
    counts: list[dict[str, int]] = [{}, {}]
    for side, reason, count in sorted(rows.groupBy("side", _REASON).agg(sf.count(sf.lit(1))).collect()):
        counts[side][reason] = count
    return counts

"""Choose pairs with Spark: in one task, or by DataFrame operations where one task cannot hold all neighbours.

Both give the same pairs and scores. One-to-one matching is exact at any size. It takes the pairs that a loop over all
pairs, the best first, would take: a pair that is the best of both its rows is always taken, so all such pairs are taken
at once. Pairs that share a row with them are dropped, and the next round looks at the rest.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import DoubleType, IntegerType, StringType, StructField, StructType

from st_spark.bitext.retrieval import (
    BACKWARD_RANK,
    COSINE,
    DIRECTION,
    FORWARD,
    FORWARD_RANK,
    PAIR_COLUMNS,
    REJECTED,
    SCORE,
    SOURCE,
    TARGET,
    Rule,
    choose_pairs,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

RANK, MEAN, SOURCE_MEAN, TARGET_MEAN = "_rank", "_mean", "_source_mean", "_target_mean"
# One task matches this many pairs in less time than a round takes.
_ONE_TASK = 2_000_000
# The smallest share of pairs that a round must remove. Long chains of scores need many rounds: one task does the rest.
_USEFUL_SHARE = 0.2
_IS_FORWARD, _IS_BACKWARD, _TAKEN, _DROPPED = "_is_forward", "_is_backward", "_taken", "_dropped"


def choose_in_one_task(neighbours: "DataFrame", rule: Rule) -> "DataFrame":
    """Return the chosen pairs, with PAIR_COLUMNS; see retrieval.choose_pairs()."""

    def choose(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from choose_pairs(batches, rule)

    ids = [neighbours.schema[name].dataType for name in (SOURCE, TARGET)]
    types = (*ids, DoubleType(), DoubleType(), StringType(), IntegerType(), IntegerType())
    schema = StructType([StructField(name, kind) for name, kind in zip(PAIR_COLUMNS, types, strict=True)])
    names = (FORWARD,) if FORWARD in neighbours.columns else (FORWARD_RANK, BACKWARD_RANK, REJECTED)
    return neighbours.select(SOURCE, TARGET, COSINE, *names).repartition(1).mapInArrow(choose, schema)


def merge_directions(neighbours: "DataFrame", k: int) -> "DataFrame":
    """Return each pair of neighbours once.

    Args:
        neighbours: FORWARD, SOURCE, TARGET, COSINE; at least the k nearest of each row.
        k: Neighbours of each row.

    Returns:
        SOURCE, TARGET, COSINE, FORWARD_RANK, BACKWARD_RANK, SOURCE_MEAN, TARGET_MEAN and REJECTED (null). A mean is
        null where the rank of its direction is null.
    """
    columns = (*by_direction(RANK, FORWARD_RANK, BACKWARD_RANK), *by_direction(MEAN, SOURCE_MEAN, TARGET_MEAN))
    pairs = rank_neighbours(neighbours, k).groupBy(SOURCE, TARGET).agg(sf.max(COSINE).alias(COSINE), *columns)
    return pairs.withColumn(REJECTED, sf.lit(None).cast("string"))


def by_direction(column: str, forward: str, backward: str) -> "list[Column]":
    """Return two aggregates of a column: over the forward neighbours, and over the backward ones."""
    way = sf.col(FORWARD)
    return [sf.max(sf.when(which, sf.col(column))).alias(name) for which, name in ((way, forward), (~way, backward))]


def rank_neighbours(neighbours: "DataFrame", k: int) -> "DataFrame":
    """Return the k nearest of each row, with RANK (from 1) and MEAN, the mean of their cosines."""
    forward = sf.col(FORWARD)
    row = Window.partitionBy(FORWARD, sf.when(forward, sf.col(SOURCE)), sf.when(~forward, sf.col(TARGET)))
    order = row.orderBy(sf.col(COSINE).desc(), SOURCE, TARGET)
    whole = order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    nearest = neighbours.withColumn(RANK, sf.row_number().over(order)).where(sf.col(RANK) <= k)
    # Sums from the nearest to the farthest, as margins.means() does: the results are equal to the last bit.
    return nearest.withColumn(MEAN, sf.sum(COSINE).over(whole) / sf.count(COSINE).over(whole))


def retrieve(pairs: "DataFrame", rule: Rule) -> "DataFrame":
    """Return the pairs that the rule keeps before one-to-one matching, with PAIR_COLUMNS.

    Args:
        pairs: The result of merge_directions(). It is read three times.
        rule: How to choose.
    """
    means = [
        pairs.where(sf.col(rank) == 1).select(row, mean)
        for row, rank, mean in ((SOURCE, FORWARD_RANK, SOURCE_MEAN), (TARGET, BACKWARD_RANK, TARGET_MEAN))
    ]
    pairs = pairs.where(sf.col(REJECTED).isNull()).drop(SOURCE_MEAN, TARGET_MEAN)
    scored = pairs.join(means[0], SOURCE, "left").join(means[1], TARGET, "left")
    scored = scored.withColumn(SCORE, margin_column(rule.margin)).where(~sf.isnan(SCORE))
    for flag, row, rank in ((_IS_FORWARD, SOURCE, FORWARD_RANK), (_IS_BACKWARD, TARGET, BACKWARD_RANK)):
        candidate = sf.col(rank).isNotNull()
        if rule.candidates == "best":
            order = Window.partitionBy(row, candidate).orderBy(sf.col(SCORE).desc(), SOURCE, TARGET)
            candidate &= sf.row_number().over(order) == 1
        scored = scored.withColumn(flag, candidate)
    forward, backward = sf.col(_IS_FORWARD), sf.col(_IS_BACKWARD)
    wanted = {"forward": forward, "backward": backward, "intersect": forward & backward}
    kept = scored.where(wanted.get(rule.retrieval, forward | backward)).where(sf.col(SCORE) > rule.threshold)
    direction = sf.when(forward & backward, "both").when(forward, "forward").otherwise("backward")
    return kept.withColumn(DIRECTION, direction).select(*PAIR_COLUMNS)


def margin_column(name: str) -> "Column":
    """Return margins.margins() of COSINE, SOURCE_MEAN and TARGET_MEAN."""
    cosine, middle = sf.col(COSINE), (sf.col(SOURCE_MEAN) + sf.col(TARGET_MEAN)) / 2
    if name == "absolute":
        return cosine + 0.0
    if name == "distance":
        return cosine - middle + 0.0
    # Spark may raise an error for a division by zero. These are NumPy's results.
    by_zero = sf.when(cosine > 0, float("inf")).when(cosine < 0, float("-inf")).otherwise(float("nan"))
    return sf.when(middle == 0, by_zero).otherwise(cosine / middle) + 0.0


def one_to_one(pairs: "DataFrame", persisted: "list[DataFrame]", one_task: int = _ONE_TASK) -> "DataFrame":
    """Return the pairs that one-to-one matching takes.

    Args:
        pairs: SOURCE, TARGET, SCORE and more columns; each pair once, no score NaN.
        persisted: The DataFrames that are persisted for the result are appended here.
        one_task: Up to this many pairs are matched in one task, which keeps only the ids that are taken.
    """
    taken: list[DataFrame] = []
    rest = pairs.persist(StorageLevel.DISK_ONLY)
    persisted.append(rest)
    count = rest.count()
    while count > one_task:
        marked = _marked(rest).persist(StorageLevel.DISK_ONLY)
        persisted.append(marked)
        taken.append(marked.where(_TAKEN).select(*pairs.columns))
        rest = marked.where(f"not {_DROPPED}").select(*pairs.columns)
        before, count = count, rest.count()
        if count > before * (1 - _USEFUL_SHARE):
            break
    ordered = rest.repartition(1).sortWithinPartitions(sf.col(SCORE).desc(), SOURCE, TARGET)
    matched = ordered.mapInArrow(_match_in_order, pairs.schema)
    for each in taken:
        matched = matched.unionByName(each)
    return matched


def _marked(pairs: "DataFrame") -> "DataFrame":
    """Add _TAKEN, true for the best pair of both its rows, and _DROPPED, true if one of the two rows is taken.

    Only windows are used. The plan names its input once, so it stays small after many rounds.
    """
    source, target = Window.partitionBy(SOURCE), Window.partitionBy(TARGET)
    order = [sf.col(SCORE).desc(), sf.col(SOURCE), sf.col(TARGET)]
    ranked = pairs.withColumn("_one", sf.row_number().over(source.orderBy(*order)))
    ranked = ranked.withColumn("_other", sf.row_number().over(target.orderBy(*order)))
    best = ranked.withColumn(_TAKEN, sf.expr("_one = 1 and _other = 1")).drop("_one", "_other")
    best = best.withColumn("_target_taken", sf.max(_TAKEN).over(target))
    return best.withColumn(_DROPPED, sf.col("_target_taken") | sf.max(_TAKEN).over(source)).drop("_target_taken")


def _match_in_order(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    sources: set[object] = set()
    targets: set[object] = set()
    for batch in batches:
        places = []
        rows = zip(batch.column(SOURCE).to_pylist(), batch.column(TARGET).to_pylist(), strict=True)
        for place, (source, target) in enumerate(rows):
            if source not in sources and target not in targets:
                sources.add(source)
                targets.add(target)
                places.append(place)
        yield batch.take(pa.array(places, pa.int64()))

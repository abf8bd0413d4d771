"""Neighbours to pairs where they are too many for one task: the same answer, by DataFrame operations."""

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.bitext.columns import (
    BACKWARD_RANK,
    COSINE,
    DIRECTION,
    FORWARD,
    FORWARD_RANK,
    REFUSED,
    SCORE,
    SOURCE,
    TARGET,
)
from st_spark.bitext.retrieval import Rule
from st_spark.bitext.selection import NAMES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

RANK, MEAN, SOURCE_MEAN, TARGET_MEAN = "_rank", "_mean", "_source_mean", "_target_mean"
_ROWS = {"forward": SOURCE, "backward": TARGET}


def merged(neighbours: "DataFrame", k: int) -> "DataFrame":
    """Neighbours as pairs: each pair once.

    Args:
        neighbours: FORWARD, SOURCE, TARGET, COSINE: of each row at least the k nearest.
        k: How many.

    Returns:
        SOURCE, TARGET, COSINE, FORWARD_RANK, BACKWARD_RANK, and the means of both rows where the rank is not null.
    """
    forward, rows = sf.col(FORWARD), ranked(neighbours, k)
    return rows.groupBy(SOURCE, TARGET).agg(
        sf.max(COSINE).alias(COSINE),
        sf.max(sf.when(forward, sf.col(RANK))).alias(FORWARD_RANK),
        sf.max(sf.when(~forward, sf.col(RANK))).alias(BACKWARD_RANK),
        sf.max(sf.when(forward, sf.col(MEAN))).alias(SOURCE_MEAN),
        sf.max(sf.when(~forward, sf.col(MEAN))).alias(TARGET_MEAN),
    )


def ranked(neighbours: "DataFrame", k: int) -> "DataFrame":
    """The k nearest of each row, with RANK (from 1) and MEAN, that of their cosines."""
    forward = sf.col(FORWARD)
    row = Window.partitionBy(FORWARD, sf.when(forward, sf.col(SOURCE)), sf.when(~forward, sf.col(TARGET)))
    order = row.orderBy(sf.col(COSINE).desc(), SOURCE, TARGET)
    whole = order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    nearest = neighbours.withColumn(RANK, sf.row_number().over(order)).where(sf.col(RANK) <= k)
    # The sum goes from the nearest on, as in margins.means(): the same to the last bit.
    return nearest.withColumn(MEAN, sf.sum(COSINE).over(whole) / sf.count(COSINE).over(whole))


def listed(pairs: "DataFrame", rule: Rule) -> "DataFrame":
    """The pairs that the retrieval takes, yet without one to one, with the columns selection.NAMES.

    Args:
        pairs: What merged() gives, and REFUSED perhaps. They are read three times.
        rule: How to choose.
    """
    means = [
        pairs.where(sf.col(rank) == 1).select(row, mean)
        for row, rank, mean in ((SOURCE, FORWARD_RANK, SOURCE_MEAN), (TARGET, BACKWARD_RANK, TARGET_MEAN))
    ]
    if REFUSED in pairs.columns:
        pairs = pairs.where(sf.col(REFUSED).isNull())
    known = pairs.drop(SOURCE_MEAN, TARGET_MEAN).join(means[0], SOURCE, "left").join(means[1], TARGET, "left")
    known = known.withColumn(SCORE, margin_column(rule.margin)).where(~sf.isnan(SCORE))
    for side, rank in (("forward", FORWARD_RANK), ("backward", BACKWARD_RANK)):
        there = sf.col(rank).isNotNull()
        if rule.candidates == "best":
            order = Window.partitionBy(_ROWS[side], there).orderBy(sf.col(SCORE).desc(), SOURCE, TARGET)
            there &= sf.row_number().over(order) == 1
        known = known.withColumn(f"_{side}s", there)
    forward, backward = sf.col("_forwards"), sf.col("_backwards")
    wanted = {"forward": forward, "backward": backward, "intersect": forward & backward}
    found = known.where(wanted.get(rule.retrieval, forward | backward)).where(sf.col(SCORE) > rule.threshold)
    way = sf.when(forward & backward, "both").when(forward, "forward").otherwise("backward")
    return found.withColumn(DIRECTION, way).select(*NAMES)


def margin_column(name: str) -> "Column":
    """margins.margins() of COSINE, SOURCE_MEAN and TARGET_MEAN."""
    cosine, middle = sf.col(COSINE), (sf.col(SOURCE_MEAN) + sf.col(TARGET_MEAN)) / 2
    if name == "absolute":
        return cosine + 0.0
    if name == "distance":
        return cosine - middle + 0.0
    # Spark may refuse to divide by zero; NumPy's answers are these.
    by_zero = sf.when(cosine > 0, float("inf")).when(cosine < 0, float("-inf")).otherwise(float("nan"))
    return sf.when(middle == 0, by_zero).otherwise(cosine / middle) + 0.0

"""score_pairs: score pairs that are aligned already, to clean a parallel corpus."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import DoubleType, StructType

from st_spark.bitext.neighbours import find_nearest
from st_spark.bitext.prepare import prepare
from st_spark.bitext.retrieval import COSINE, FORWARD, SCORE, SOURCE, TARGET, Rule
from st_spark.bitext.retrieval_spark import (
    MEAN,
    RANK,
    SOURCE_MEAN,
    TARGET_MEAN,
    by_direction,
    margin_column,
    rank_neighbours,
)
from st_spark.bitext.text_filters import TextFilters
from st_spark.errors import InputError
from st_spark.join.exact_copies import CONTENT, digested
from st_spark.join.inputs import Sides, picked
from st_spark.join.options import Request
from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.tasks.vector_column import checked
from st_spark.tables.columns import quoted_column
from st_spark.topk.scores import exact_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PAIR, _FIRST, _OTHER = "_pair", "_first", "_other_vector"


def score_pairs(
    pairs: "DataFrame",
    k: int = 4,
    margin: str = "ratio",
    *,
    id: str = "id",
    source_vector: str = "source_embedding",
    target_vector: str = "target_embedding",
    method: str = "exact",
    recall: float = 0.95,
) -> "DataFrame":
    """Score aligned pairs by their margin, against all rows of both sides; see mine_bitext().

    Args:
        pairs: One row per pair, with a unique id and the vectors of both texts. It is read several times.
        k: Neighbours of each row that the margin compares with; equal vectors count as one neighbour.
        margin: "absolute", "distance" or "ratio".
        id: Id column.
        source_vector: Vector column of the source texts.
        target_vector: Vector column of the target texts.
        method: "exact", or "ivf" (approximate).
        recall: With "ivf", the share of the true neighbours to find.

    Returns:
        All columns of `pairs`, score (double) and cosine (double). Both are null if a vector is missing or not valid.
        The score is null where it would be NaN.

    Raises:
        InputError: An argument or a column is not valid, or duplicate ids.
    """
    Rule(k, margin, threshold=float("-inf"))
    Request(method=method)
    taken = {SCORE, COSINE} & set(pairs.columns)
    if taken:
        raise InputError(f"The pairs already have columns {', '.join(sorted(taken))}.", "rename them first.")
    left, right = (picked(pairs, "the table of pairs", id, vector, ()) for vector in (source_vector, target_vector))
    sides = Sides(left, right, ())
    kept, stats = prepare(sides, TextFilters())
    nearest, _, _ = find_nearest(kept, stats, k, method, recall)
    means = _means(sides, rank_neighbours(nearest, k), stats.dimension)
    scored = _cosines(sides, stats.dimension).join(means, ID, "left").withColumn(SCORE, margin_column(margin))
    scored = scored.select(sf.col(ID).alias(_PAIR), sf.nanvl(SCORE, sf.lit(None).cast("double")).alias(SCORE), COSINE)
    return pairs.join(scored, quoted_column(id) == sf.col(_PAIR), "left").drop(_PAIR)


def _means(sides: Sides, nearest: "DataFrame", dimension: int) -> "DataFrame":
    """Return ID, SOURCE_MEAN and TARGET_MEAN. Rows with equal vectors get the means of the first of them."""
    assert sides.right is not None
    first = sf.min(ID).over(Window.partitionBy(CONTENT)).alias(_FIRST)
    left, right = (
        digested(side.where(sf.col(ID).isNotNull()), (), dimension, "cosine").select(
            sf.lit(is_source).alias(FORWARD), ID, first
        )
        for side, is_source in ((sides.left, True), (sides.right, False))
    )
    row = sf.when(sf.col(FORWARD), sf.col(SOURCE)).otherwise(sf.col(TARGET)).alias(_FIRST)
    means = nearest.where(sf.col(RANK) == 1).select(FORWARD, row, MEAN)
    rows = left.unionByName(right).join(means, [FORWARD, _FIRST])
    return rows.groupBy(ID).agg(*by_direction(MEAN, SOURCE_MEAN, TARGET_MEAN))


def _cosines(sides: Sides, dimension: int) -> "DataFrame":
    """Return ID and COSINE of the pairs with two valid vectors."""
    assert sides.right is not None
    rows = sides.left.where(sf.col(ID).isNotNull()).join(sides.right.withColumnRenamed(VECTOR, _OTHER), ID)

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            x, y = (checked(batch.column(name), dimension, "cosine") for name in (VECTOR, _OTHER))
            cosines = exact_scores(x.matrix[y.kept[x.kept]], y.matrix[x.kept[y.kept]], "cosine") + 0.0  # no -0.0
            ids = batch.column(ID).filter(pa.array(x.kept & y.kept))
            yield pa.RecordBatch.from_arrays([ids, pa.array(cosines)], names=[ID, COSINE])

    schema = StructType().add(ID, sides.left.schema[ID].dataType).add(COSINE, DoubleType())
    return rows.mapInArrow(compare, schema)

"""score_pairs: the margins of pairs that exist already, to clean a parallel corpus."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import DoubleType, StructField, StructType

from st_spark.bitext import neighbours
from st_spark.bitext.columns import COSINE, FORWARD, SCORE, SOURCE, TARGET
from st_spark.bitext.prepare import prepared
from st_spark.bitext.retrieval import Rule
from st_spark.bitext.spread import MEAN, RANK, SOURCE_MEAN, TARGET_MEAN, margin_column, ranked
from st_spark.bitext.text_filters import TextFilters
from st_spark.errors import InputError
from st_spark.join.exact_copies import CONTENT, digested
from st_spark.join.inputs import Sides, picked
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
    """Scores pairs by their margin, each against all rows of both sides; see mine_bitext().

    Args:
        pairs: A row for each pair, with a unique id and the vectors of both texts. It is read several times.
        k: Neighbours of each row that the margin compares with; a vector that stands several times counts once.
        margin: "absolute", "distance" or "ratio".
        id: Column of the ids.
        source_vector: Column of the vectors of the source texts.
        target_vector: Column of the vectors of the target texts.
        method: "exact", or "ivf": approximate.
        recall: With "ivf", the share of the true neighbours to find.

    Returns:
        All columns of `pairs`, score and cosine (double). Both are null where a vector is missing or unsound, and the
        score where it would be NaN.

    Raises:
        InputError: An argument or a column that cannot work, or an id that stands twice.
    """
    Rule(k, margin, threshold=float("-inf"))
    neighbours.check_method(method)
    taken = {SCORE, COSINE} & set(pairs.columns)
    if taken:
        raise InputError(f"The pairs have columns {', '.join(sorted(taken))} already.", "rename them before.")
    both = [picked(pairs, "the table of pairs", id, vector, ()) for vector in (source_vector, target_vector)]
    sides = Sides(both[0], both[1], ())
    ready = prepared(sides, TextFilters())
    found, _, _ = neighbours.nearest(ready.sides, ready.fewer, k, method, recall)
    dimension = ready.survey.dimension
    means = _means(sides, ranked(found, k), dimension)
    scored = _cosines(sides, dimension).join(means, ID, "left").withColumn(SCORE, margin_column(margin))
    scored = scored.select(sf.col(ID).alias(_PAIR), sf.nanvl(SCORE, sf.lit(None).cast("double")).alias(SCORE), COSINE)
    return pairs.join(scored, quoted_column(id) == sf.col(_PAIR), "left").drop(_PAIR)


def _means(sides: Sides, nearest: "DataFrame", dimension: int) -> "DataFrame":
    """ID, SOURCE_MEAN and TARGET_MEAN; those of a copy are those of the first row with its vector."""
    assert sides.right is not None
    firsts = []
    for side, way in ((sides.left, True), (sides.right, False)):
        rows = digested(side.where(sf.col(ID).isNotNull()), (), dimension, "cosine")
        first = sf.min(ID).over(Window.partitionBy(CONTENT)).alias(_FIRST)
        firsts.append(rows.select(sf.lit(way).alias(FORWARD), ID, first))
    forward = sf.col(FORWARD)
    row = sf.when(forward, sf.col(SOURCE)).otherwise(sf.col(TARGET)).alias(_FIRST)
    known = nearest.where(sf.col(RANK) == 1).select(FORWARD, row, MEAN)
    return (
        firsts[0]
        .unionByName(firsts[1])
        .join(known, [FORWARD, _FIRST])
        .groupBy(ID)
        .agg(
            sf.max(sf.when(forward, sf.col(MEAN))).alias(SOURCE_MEAN),
            sf.max(sf.when(~forward, sf.col(MEAN))).alias(TARGET_MEAN),
        )
    )


def _cosines(sides: Sides, dimension: int) -> "DataFrame":
    """ID and COSINE of the pairs with two sound vectors."""
    assert sides.right is not None
    rows = sides.left.where(sf.col(ID).isNotNull()).join(sides.right.withColumnRenamed(VECTOR, _OTHER), ID)

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            sound = checked(batch.column(VECTOR), dimension, "cosine").kept
            sound &= checked(batch.column(_OTHER), dimension, "cosine").kept
            kept = batch.filter(pa.array(sound))
            x, y = (checked(kept.column(name), dimension, "cosine").matrix for name in (VECTOR, _OTHER))
            cosines = pa.array(exact_scores(x, y, "cosine") + 0.0)  # no -0.0
            yield pa.RecordBatch.from_arrays([kept.column(ID), cosines], names=[ID, COSINE])

    kind = sides.left.schema[ID].dataType
    return rows.mapInArrow(compare, StructType([StructField(ID, kind), StructField(COSINE, DoubleType())]))

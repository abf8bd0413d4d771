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
from st_spark.join.exact_copies import VECTOR_HASH, hash_vectors
from st_spark.join.inputs import TablePair, select_columns
from st_spark.join.options import Request
from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.stored_vectors import stored_form
from st_spark.join.tasks.vector_column import read_vectors, score_column
from st_spark.spark.hold import hold
from st_spark.tables.columns import check_new_column, quoted_column
from st_spark.topk.scores import exact_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FIRST, _OTHER = "_first", "_other_vector"


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
        pairs: One row per pair, with a unique id and the vectors of both texts. Vectors that Python
            computes are kept on the executors' disks; see similarity_join().
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
    where = "the table of pairs"
    for name in (SCORE, COSINE):
        check_new_column(pairs, where, name, "rename it first.")
    pairs = hold(pairs.select("*"), where)  # not the user's own DataFrame, which may be persisted later
    left, right = (select_columns(pairs, where, id, vector, ()) for vector in (source_vector, target_vector))
    sides = TablePair(left, right, ())
    kept, stats = prepare(sides, TextFilters(), names=(where, where))
    nearest, _, _ = find_nearest(kept, stats, k, method, recall)
    means = _means(sides, rank_neighbours(nearest, k), stats.dimension)
    scored = _cosines(sides, stats.dimension).join(means, ID, "left").withColumn(SCORE, margin_column(margin))
    scored = scored.select(sf.col(ID).alias(id), sf.nanvl(SCORE, sf.lit(None).cast("double")).alias(SCORE), COSINE)
    return pairs.join(scored, id, "left").select(*map(quoted_column, pairs.columns), SCORE, COSINE)


def _means(sides: TablePair, nearest: "DataFrame", dimension: int) -> "DataFrame":
    """Return ID, SOURCE_MEAN and TARGET_MEAN. Rows with equal vectors get the means of the first of them."""
    assert sides.right is not None
    first = sf.min(ID).over(Window.partitionBy(VECTOR_HASH)).alias(_FIRST)
    left, right = (
        hash_vectors(side.where(sf.col(ID).isNotNull()), (), dimension, "cosine").select(
            sf.lit(is_source).alias(FORWARD), ID, first
        )
        for side, is_source in ((sides.left, True), (sides.right, False))
    )
    row = sf.when(sf.col(FORWARD), sf.col(SOURCE)).otherwise(sf.col(TARGET)).alias(_FIRST)
    means = nearest.where(sf.col(RANK) == 1).select(FORWARD, row, MEAN)
    rows = left.unionByName(right).join(means, [FORWARD, _FIRST])
    return rows.groupBy(ID).agg(*by_direction(MEAN, SOURCE_MEAN, TARGET_MEAN))


def _cosines(sides: TablePair, dimension: int) -> "DataFrame":
    """Return ID and COSINE of the pairs with two valid vectors."""
    assert sides.right is not None
    rows = sides.left.where(sf.col(ID).isNotNull()).join(sides.right.withColumnRenamed(VECTOR, _OTHER), ID)
    forms = {name: stored_form(rows.schema, name) for name in (VECTOR, _OTHER)}

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            x, y = (read_vectors(batch.column(name), dimension, "cosine", form) for name, form in forms.items())
            cosines = exact_scores(x.matrix[y.kept[x.kept]], y.matrix[x.kept[y.kept]], "cosine")
            ids = batch.column(ID).filter(pa.array(x.kept & y.kept))
            yield pa.RecordBatch.from_arrays([ids, score_column(cosines)], names=[ID, COSINE])

    schema = StructType().add(ID, sides.left.schema[ID].dataType).add(COSINE, DoubleType())
    return rows.mapInArrow(compare, schema)

"""K-means on Spark: a sample trains the centroids, and every row gets the nearest one, exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType

from st_spark.clustering.training import train
from st_spark.join.ivf import sample_rows
from st_spark.join.shuffle import ID, VECTOR, map_batches
from st_spark.join.stored_vectors import stored_form
from st_spark.join.tasks.vector_column import read_vectors, score_column
from st_spark.spark.hold import hold
from st_spark.topk.scores import Matrix
from st_spark.topk.search import top_k

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import TableStats
    from st_spark.model.quantization import Form

# Rows of the sample for each centroid, as in faiss, and the limit of the bytes that come to the driver.
_SAMPLED, _DRIVER_BYTES = 256, 1 << 28


def kmeans(
    rows: "DataFrame", stats: "TableStats", counts: Sequence[int], score: str, seed: int
) -> "tuple[DataFrame, dict[str, Any]]":
    """Return id, cluster, score and is_representative of the rows that can be joined, and facts.

    The centroids are trained here, on the driver; the rest is done when the rows are read.

    Args:
        rows: The table: ID and VECTOR. Its ids are not null.
        stats: Its counts.
        counts: The numbers of clusters to choose from.
        score: "cosine", "euclidean", or "dot", which measures the distance to a centroid as "euclidean" does.
        seed: Chooses the first centroids.
    """
    kind = "cosine" if score == "cosine" else "euclidean"
    sampled = min(_SAMPLED * counts[-1], _DRIVER_BYTES // (4 * stats.dimension))
    sample = sample_rows(rows, stats.kept, max(sampled, 4096), (), stats.dimension, kind).matrix
    trained = train(sample, list(counts), kind, seed)
    facts: dict[str, Any] = {"k": len(trained.matrix), "sampled": len(sample)}
    facts |= {"silhouettes": trained.silhouettes} if trained.silhouettes else {}
    work = _Assignment(trained.matrix, kind, stored_form(rows.schema))
    assigned = hold(map_batches(rows.select(ID, VECTOR), work, _schema(rows)), "the table")
    best = sf.min(sf.struct((-sf.col("score")).alias("distance"), "id"))["id"].alias("medoid")
    each = assigned.groupBy("centroid").agg(sf.count(sf.lit(1)).alias("size"), best)
    order = Window.orderBy(sf.col("size").desc(), "medoid")
    numbered = each.select("centroid", "medoid", (sf.row_number().over(order) - 1).cast("int").alias("cluster"))
    clusters = assigned.join(sf.broadcast(numbered), "centroid")
    is_medoid = (sf.col("id") == sf.col("medoid")).alias("is_representative")
    return clusters.select("id", "cluster", "score", is_medoid), facts


@dataclass(frozen=True)
class _Assignment:
    """Finds the nearest centroid of each row, in float64: it depends on the row alone."""

    centroids: Matrix  # [k, d]
    score: str
    form: "Form | None"  # How the rows are stored; None for floats

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield id, centroid and score of the rows that can be joined."""
        for batch in batches:
            vectors = read_vectors(batch.column(1), self.centroids.shape[1], self.score, self.form)
            best = top_k(vectors.matrix, self.centroids, 1, self.score)
            ids = batch.column(0).filter(pa.array(vectors.kept))
            columns = [ids, pa.array(best.right.astype(np.int32)), score_column(best.score)]
            yield pa.RecordBatch.from_arrays(columns, names=["id", "centroid", "score"])


def _schema(rows: "DataFrame") -> StructType:
    others = [StructField("centroid", IntegerType()), StructField("score", DoubleType())]
    return StructType([StructField("id", rows.schema[ID].dataType), *others])

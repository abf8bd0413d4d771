"""Rows with the same vector bit by bit: one of them stands for all, so that n copies are not n * n pairs."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType, DoubleType, StructField, StructType

from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.tasks.vector_column import checked
from st_spark.tables.columns import quoted_column
from st_spark.topk.scores import Matrix, exact_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# The score of a row with itself, and a digest of its vector in its place.
OWN, CONTENT = "_own", "_content"
_DIGEST = 16  # bytes: no two vectors that differ have the same


def digested(rows: "DataFrame", keys: tuple[str, ...], dimension: int, score: str) -> "DataFrame":
    """ID, keys, CONTENT and OWN of the rows whose vectors can be joined.

    Args:
        rows: ID, VECTOR and keys.
        keys: Names of further columns.
        dimension: Values of a vector.
        score: One of vectors.SCORES.
    """

    def digest(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = checked(batch.column(VECTOR), dimension, score)
            kept = batch.drop_columns([VECTOR]).filter(pa.array(found.kept))
            own = exact_scores(found.matrix, found.matrix, score) + 0.0  # no -0.0
            columns = [*kept.columns, pa.array(_digests(found.matrix), pa.binary()), pa.array(own)]
            yield pa.RecordBatch.from_arrays(columns, names=[*kept.schema.names, CONTENT, OWN])

    picked = rows.select(ID, *map(quoted_column, keys), VECTOR)
    told = [each for each in picked.schema.fields if each.name != VECTOR]
    schema = StructType([*told, StructField(CONTENT, BinaryType()), StructField(OWN, DoubleType())])
    return picked.mapInArrow(digest, schema)


def copies(digests: "DataFrame", keys: tuple[str, ...], threshold: float) -> "DataFrame":
    """The rows with the vector and the keys of another one of a smaller id: left_id (the smallest), right_id.

    Args:
        digests: See digested().
        keys: Columns that must be equal too.
        threshold: Copies that have a smaller score with each other, as inner products of short vectors may be, are no
            pairs.
    """
    possible = sf.col(OWN) >= threshold
    for key in keys:
        possible &= quoted_column(key).isNotNull()  # a null is equal to nothing
    same = Window.partitionBy(CONTENT, *map(quoted_column, keys))
    found = digests.where(possible).withColumn("left_id", sf.min(ID).over(same))
    return found.where(sf.col(ID) != sf.col("left_id")).select("left_id", sf.col(ID).alias("right_id"))


def _digests(matrix: Matrix) -> list[bytes]:
    return [hashlib.blake2b(row, digest_size=_DIGEST).digest() for row in matrix]

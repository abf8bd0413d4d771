"""Rows with the same vector, bit by bit. One of them is compared for all, so n copies are not n * n pairs."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType, DoubleType, StructField, StructType

from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.stored_vectors import stored_form
from st_spark.join.tasks.vector_column import read_vectors, score_column
from st_spark.tables.columns import quoted_column
from st_spark.topk.scores import exact_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

VECTOR_HASH, SELF_SCORE = "_vector_hash", "_self_score"
_HASH_BYTES = 16  # different vectors have different hashes
# Up to this many ids are broadcast, so that the vectors need not be sorted by id.
_BROADCAST = 1_000_000


def hash_vectors(rows: "DataFrame", keys: tuple[str, ...], dimension: int, score: str) -> "DataFrame":
    """Return ID, keys, VECTOR_HASH and SELF_SCORE (the score with itself) of the rows that can be joined."""
    form = stored_form(rows.schema)

    def hash_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = read_vectors(batch.column(VECTOR), dimension, score, form)
            kept = batch.drop_columns([VECTOR]).filter(pa.array(vectors.kept))
            hashes = [hashlib.blake2b(row, digest_size=_HASH_BYTES).digest() for row in vectors.matrix]
            own = score_column(exact_scores(vectors.matrix, vectors.matrix, score))
            columns = [*kept.columns, pa.array(hashes, pa.binary()), own]
            yield pa.RecordBatch.from_arrays(columns, names=[*kept.schema.names, VECTOR_HASH, SELF_SCORE])

    selected = rows.select(ID, *map(quoted_column, keys), VECTOR)
    fields = [each for each in selected.schema.fields if each.name != VECTOR]
    added = [StructField(VECTOR_HASH, BinaryType()), StructField(SELF_SCORE, DoubleType())]
    return selected.mapInArrow(hash_batches, StructType([*fields, *added]))


def find_copies(hashes: "DataFrame", keys: tuple[str, ...], threshold: float) -> "DataFrame":
    """Return the rows that have a copy with a smaller id and the same keys: left_id (the smallest), right_id.

    Copies with a score below the threshold are not pairs. Inner products of short vectors can be that low.
    """
    possible = sf.col(SELF_SCORE) >= threshold
    for key in keys:
        possible &= quoted_column(key).isNotNull()  # a null is equal to nothing
    same = Window.partitionBy(VECTOR_HASH, *map(quoted_column, keys))
    copies = hashes.where(possible).withColumn("left_id", sf.min(ID).over(same))
    return copies.where(sf.col(ID) != sf.col("left_id")).select("left_id", sf.col(ID).alias("right_id"))


def drop_rows(rows: "DataFrame", ids: "DataFrame", count: int) -> "DataFrame":
    """Return the rows whose ID is not in `ids`, a DataFrame of ID with `count` rows."""
    if not count:
        return rows
    return rows.join(sf.broadcast(ids) if count <= _BROADCAST else ids, ID, "left_anti")

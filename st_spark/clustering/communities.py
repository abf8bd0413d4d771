"""Communities on Spark: an exact join finds the pairs in parallel, and one task chooses the communities from them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import BooleanType, IntegerType, StructField, StructType

from st_spark.clustering.greedy import Numbers, choose_communities
from st_spark.errors import InputError
from st_spark.join import exact
from st_spark.join.exact_copies import VECTOR_HASH, hash_vectors
from st_spark.join.grouping import id_columns, spark_batches
from st_spark.join.inputs import TablePair
from st_spark.join.row_scores import with_score
from st_spark.join.shuffle import ID, VECTOR
from st_spark.spark.hold import hold
from st_spark.topk.pairs import Pairs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import InputStats
    from st_spark.join.options import Request

# Pairs of a row that Spark moves, and pairs that a join task collects before it returns rows. Spark sends 10,000 rows
# at once.
_ROW_PAIRS, _HELD_PAIRS = 1 << 10, 1 << 20
_BATCH_ROWS = 1 << 16
# Up to this many rows without vectors are broadcast, so that the vectors need not be sorted by id.
_BROADCAST = 1_000_000
_PACKED = "left binary, right binary"


def communities(
    table: TablePair, stats: "InputStats", request: "Request", min_size: int
) -> "tuple[DataFrame, dict[str, Any]]":
    """Return id, cluster, score and is_representative of the rows that can be joined, and facts.

    Spark counts the different vectors here, and does the rest when the rows are read.

    Raises:
        InputError: More pairs than max_pairs are expected.
    """
    rows = table.left.where(sf.col(ID).isNotNull())
    numbers = _number_vectors(rows, stats.dimension, request.score)
    firsts = numbers.where("is_first")
    count = firsts.count()
    facts: dict[str, Any] = {"copies": stats.left.kept - count}
    places = _small(firsts.select(sf.col("id").alias(ID), "number"), count)
    unique = TablePair(rows.join(places, ID).select(sf.col("number").alias(ID), VECTOR), None, ())
    stats = replace(stats, left=replace(stats.left, rows=stats.left.rows - facts["copies"]))
    if stats.comparisons > request.max_pairs:
        facts["expected_pairs"] = expected = round(exact.expected_pairs(unique, stats, request))
        if expected > request.max_pairs:
            raise _too_many(f"About {expected:,}", request.max_pairs)
    pairs, more = exact.above(unique, stats, request, pack_pairs, _PACKED)
    weighted = firsts.where("copies > 1").select(sf.col("number").alias("weighted"), "copies")
    packed = pairs.unionByName(weighted, allowMissingColumns=True).repartition(1)
    work = ChooseCommunities(count, min_size, request.max_pairs)
    chosen = hold(packed.mapInArrow(work, "number int, cluster int, is_centre boolean"), "the table")
    return _with_scores(rows, numbers, chosen, stats, request.score), facts | more


def _number_vectors(rows: "DataFrame", dimension: int, score: str) -> "DataFrame":
    """Number the different vectors in the order of their smallest ids, from 0: equal vectors count as one.

    Their rows are in the same community. One task sorts all ids; it needs some 100 bytes for each.

    Returns:
        id, number, is_first: whether the id is the smallest one of the vector, and copies: how many rows have it.
    """
    hashes = hash_vectors(rows, (), dimension, score).select(sf.col(ID).alias("id"), VECTOR_HASH).repartition(1)
    others = [("number", IntegerType()), ("is_first", BooleanType()), ("copies", IntegerType())]
    schema = StructType([hashes.schema["id"], *(StructField(*each) for each in others)])
    return hold(hashes.mapInArrow(number_copies, schema), "the table")


def number_copies(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the columns of _number_vectors() for ids and the hashes of their vectors."""
    parts = [pa.table([*id_columns(batch, 1), batch.column(1)], names=["id", "hash"]) for batch in batches]
    if not parts:
        return
    rows = pa.concat_tables(parts).sort_by("id")
    number = rows["hash"].combine_chunks().dictionary_encode().indices.to_numpy()  # by the first row of each hash
    is_first = np.diff(np.maximum.accumulate(number), prepend=-1) > 0
    columns = [rows["id"], *map(pa.array, (number, is_first, np.bincount(number).astype(np.int32)[number]))]
    yield from spark_batches(pa.table(columns, names=["id", "number", "is_first", "copies"]))


def pack_pairs(left: pa.Array, right: pa.Array, parts: Iterator[Pairs]) -> Iterator[pa.RecordBatch]:
    """Yield the ids, which are numbers, of some pairs in each row, as bytes: Spark moves few rows then."""
    ids = [side.to_numpy(zero_copy_only=False).astype(np.int32) for side in (left, right)]
    held: list[Pairs] = []
    for pairs in parts:
        held.append(pairs)
        if sum(len(each.left) for each in held) >= _HELD_PAIRS:
            yield _packed(ids, Pairs.concat(held))
            held = []
    if held:
        yield _packed(ids, Pairs.concat(held))


def _packed(ids: list[Numbers], pairs: Pairs) -> pa.RecordBatch:
    count = len(pairs.left)
    ends = np.append(np.arange(0, count, _ROW_PAIRS), count).astype(np.int32) * 4
    sides = [np.ascontiguousarray(of[rows]) for of, rows in zip(ids, (pairs.left, pairs.right), strict=True)]
    columns = [
        pa.Array.from_buffers(pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(side)])
        for side in sides
    ]
    return pa.RecordBatch.from_arrays(columns, names=["left", "right"])


def _unpacked(column: pa.Array) -> Numbers:
    return np.frombuffer(b"".join(column.drop_null().to_pylist()), np.int32)


@dataclass(frozen=True)
class ChooseCommunities:
    """The work of the one task that reads all pairs.

    Attributes:
        rows: Number of rows with different vectors.
        min_size: Rows of the smallest community.
        max_pairs: The most pairs that its memory holds.
    """

    rows: int
    min_size: int
    max_pairs: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield number, cluster and is_centre of the rows in communities.

        A batch has left and right, from pack_pairs(), or weighted and copies: a row, and for how many it counts.

        Raises:
            InputError: There are more pairs than max_pairs.
        """
        weights = np.ones(self.rows, np.int32)
        left, right = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
        count = 0
        for batch in batches:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            weights[columns["weighted"].drop_null().to_numpy()] = columns["copies"].drop_null().to_numpy()
            left.append(_unpacked(columns["left"]))
            right.append(_unpacked(columns["right"]))
            count += len(left[-1])
            if count > self.max_pairs:
                raise _too_many(f"More than {self.max_pairs:,}", self.max_pairs)
        found = choose_communities(weights, _joined(left), _joined(right), self.min_size)
        number = np.flatnonzero(found.cluster >= 0).astype(np.int32)
        cluster = found.cluster[number]
        columns = {"number": number, "cluster": cluster, "is_centre": found.centres[cluster] == number}
        yield from pa.table(columns).to_batches(_BATCH_ROWS)


def _joined(parts: list[Numbers]) -> Numbers:
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _with_scores(
    rows: "DataFrame", numbers: "DataFrame", chosen: "DataFrame", stats: "InputStats", score: str
) -> "DataFrame":
    """Return each row with its community and the score with the central row; nulls without a community."""
    is_centre = sf.coalesce(sf.col("is_centre") & sf.col("is_first"), sf.lit(False)).alias("is_representative")
    members = numbers.join(chosen, "number", "left").select("id", "cluster", is_centre)
    inside = _small(members.where("cluster IS NOT NULL"), stats.left.kept)
    vectors = rows.select(sf.col(ID).alias("id"), sf.col(VECTOR).alias("x")).join(inside, "id")
    centres = vectors.where("is_representative").select("cluster", sf.col("x").alias("y"))
    scored = with_score(vectors.join(centres, "cluster"), stats.dimension, score)
    outside = members.where("cluster IS NULL")
    return scored.unionByName(outside, allowMissingColumns=True).select("id", "cluster", "score", "is_representative")


def _small(rows: "DataFrame", count: int) -> "DataFrame":
    return sf.broadcast(rows) if count <= _BROADCAST else rows


def _too_many(count: str, limit: int) -> InputError:
    return InputError(
        f"{count} pairs of rows reach the threshold; max_pairs is {limit:,}.",
        "raise the threshold; or max_pairs, if one Spark task has 20 bytes for each pair; or use method='kmeans'.",
    )

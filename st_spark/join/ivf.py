"""The approximate join: left rows are compared with right rows of some inverted lists, as many as the recall needs.

A sample of left rows measures the recall.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, BinaryType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.join import exact
from st_spark.join.shuffle import ID, VECTOR, map_batches, run_tasks, to_sides, union_sides
from st_spark.join.stored_vectors import stored_form
from st_spark.join.tasks.blocks import TASK, Block, BlockReader
from st_spark.join.tasks.list_assignment import (
    LIST,
    PROBES,
    ROW_HASH,
    ListAssignment,
    ListTasks,
    Weights,
    partition_lists,
)
from st_spark.join.tasks.results import KEY_HASH, GroundTruth, IvfSearch
from st_spark.join.tasks.vector_column import read_vectors
from st_spark.tables.local_rows import to_arrow
from st_spark.topk.coarse_quantizer import CoarseQuantizer, list_count
from st_spark.topk.kmeans import list_centroids
from st_spark.topk.recall import Recall, choose_nprobe, recall_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from st_spark.join.input_stats import InputStats
    from st_spark.join.inputs import TablePair
    from st_spark.join.options import Request

# Right rows in the sample that the centroids are computed from.
_SAMPLE = 100_000
# Left rows with exact neighbours (half of them choose nprobe, half measure the recall), and left rows that estimate how
# many probe each list.
_QUERIES, _PROBING = 1_000, 5_000
# Limit of the bytes that come to the driver: by default Spark allows a job one gigabyte.
_DRIVER_BYTES = 1 << 28
_TASKS_PER_CORE = 4


@dataclass(frozen=True)
class TunedIvf:
    """Inverted lists, tuned for the wanted recall."""

    quantizer: CoarseQuantizer  # Assigns rows to lists
    nprobe: int  # How many lists a left row searches
    recall: Recall  # The measured recall, of left rows that did not help to choose nprobe
    list_tasks: ListTasks  # Which tasks the lists belong to
    right_rows: Weights  # About how many right rows each list has

    def facts(self, request: "Request") -> dict[str, Any]:
        """Return what the result says of the search."""
        recall = {"recall": self.recall.value, "recall_low": self.recall.low, "recall_high": self.recall.high}
        facts = {name: round(value, 4) for name, value in recall.items()}
        return {**facts, "recall_asked": request.recall, "cells": len(self.quantizer), "nprobe": self.nprobe}


def top_k(tables: "TablePair", stats: "InputStats", request: "Request") -> "tuple[DataFrame, dict[str, Any]]":
    """Return the k best right rows of each left row in the lists that it probes (left_id, right_id, score, rank).

    Also return facts; a join without rows has no recall. A left row has fewer than k neighbours also if the
    lists that it probes hold fewer. Raise InputError if the request has no k.
    """
    if request.k is None:
        raise InputError("method='ivf' needs k.", "give k, or use method='exact'.")
    tuned = tune(tables, stats, request, request.k)
    if tuned is None:
        pairs, facts = exact.top_k(tables, stats, request, request.k)
        return pairs, {**facts, "recall_asked": request.recall}
    self_join = tables.right is None
    columns, everywhere = [*tables.keys, LIST, PROBES], sf.lit(True)
    rows = _assigned(tables.left, tables.keys, tuned, left=True, right=self_join)
    # In a self join all rows travel as left rows; LIST says which ones are right rows, too.
    rows = to_sides(rows, sf.col(TASK), columns, left=everywhere, right=sf.lit(False) if self_join else None)
    if tables.right is not None:
        right = _assigned(tables.right, tables.keys, tuned, left=False, right=True)
        rows = union_sides(rows, to_sides(right, sf.col(TASK), columns, right=everywhere))
    reader = BlockReader(stats.dimension, request.score, tables.keys, (LIST, PROBES))
    work = IvfSearch(request.k, request.score, request.threshold, self_join)
    tasks = int(tuned.list_tasks.first[-1])
    pairs = run_tasks(rows, tasks, reader, work, exact.list_schema(tables), request.settings.max_tasks)
    return exact.merge_tasks(pairs, tables, request.k), tuned.facts(request)


def _assigned(rows: "DataFrame", keys: tuple[str, ...], tuned: TunedIvf, *, left: bool, right: bool) -> "DataFrame":
    """Return each row once for each of its tasks, with TASK, LIST and PROBES."""
    form = stored_form(rows.schema)
    assignment = ListAssignment(tuned.quantizer, tuned.list_tasks, tuned.nprobe, VECTOR, left, right, form)
    added = {TASK: IntegerType(), LIST: IntegerType(), PROBES: ArrayType(IntegerType()), VECTOR: BinaryType()}
    fields = [*(rows.schema[name] for name in (ID, *keys)), *(StructField(*each) for each in added.items())]
    rows = rows.select(ID, VECTOR, *keys, sf.xxhash64(ID).alias(ROW_HASH))
    return map_batches(rows, assignment, StructType(fields))


def tune(
    tables: "TablePair", stats: "InputStats", request: "Request", k: int, lists: int | None = None
) -> TunedIvf | None:
    """Make inverted lists, and choose how many of them to search. Return None if a table has no rows.

    `lists` is how many lists to make; by default as many as suit the rows. If the request has lists, none are made.
    """
    self_join = tables.right is None
    right = tables.left if tables.right is None else tables.right
    left_rows, right_rows = stats.left.kept, (stats.right or stats.left).kept
    if not left_rows or not right_rows:
        return None
    size = stats.dimension, request.score
    # In a self join the queries are not in the sample of the centroids, if there are enough other rows.
    queries = min(_QUERIES, left_rows // 2) if self_join else 0
    sampled = min(_SAMPLE, _DRIVER_BYTES // (4 * stats.dimension))
    sample = sample_rows(right, right_rows, sampled + queries, tables.keys, *size)
    probing = sample if self_join else sample_rows(tables.left, left_rows, _PROBING, tables.keys, *size)
    trained = sample.matrix[queries:]
    quantizer = request.quantizer if not self_join else None
    if quantizer is None or quantizer.centroids.shape[1] != stats.dimension:
        centroids = list_centroids(trained, lists or list_count(right_rows, len(trained)), request.score)
        quantizer = CoarseQuantizer(centroids, request.score)
    query_rows = probing.take(np.arange(min(queries if self_join else _QUERIES, len(probing))))
    truth = GroundTruth(query_rows, quantizer, k, request.threshold, self_join, stored_form(right.schema))
    nprobe, recall = _choose_nprobe(truth, right.select(ID, VECTOR, _key_hash(tables.keys)), request.recall)
    probes = quantizer.probe(probing.matrix[:_PROBING], nprobe).ravel()
    right_weights, left_weights = (
        np.bincount(found, minlength=len(quantizer)).astype(np.float64) * (rows / len(found))
        for found, rows in ((quantizer.assign(trained), right_rows), (probes, left_rows))
    )
    target = _partition_rows(left_rows + right_rows, stats, request)
    list_tasks = partition_lists(right_weights, left_weights, target, request.settings.max_left * target)
    return TunedIvf(quantizer, nprobe, recall, list_tasks, right_weights)


def measure(
    tables: "TablePair", stats: "InputStats", quantizer: CoarseQuantizer, k: int, recall: float, least: int
) -> tuple[int, Recall]:
    """Return how many lists, `least` or more, a row of the left table needs to find its neighbours in this table.

    Also return the recall that a sample of the rows measures with so many.
    """
    rows = stats.left.kept
    sample = sample_rows(tables.left, rows, min(_QUERIES, rows), (), stats.dimension, quantizer.score)
    truth = GroundTruth(sample, quantizer, k, None, self_join=True)
    return _choose_nprobe(truth, tables.left.select(ID, VECTOR, _key_hash(())), recall, least)


def sample_rows(table: "DataFrame", rows: int, count: int, keys: tuple[str, ...], dimension: int, score: str) -> Block:
    """Return a sample of `count` rows, the ones whose ids have the smallest hashes. Partitions do not matter."""
    share = min(1.0, (count + 5 * count**0.5 + 20) / max(rows, 1))
    limit = min(int(share * 2.0**64) - 2**63, 2**63 - 1)
    few = table.select(ID, VECTOR, _key_hash(keys), sf.xxhash64(ID).alias(ROW_HASH)).where(sf.col(ROW_HASH) <= limit)
    ids, column, keys_hash, row_hash = (column.combine_chunks() for column in to_arrow(few).columns)
    vectors = read_vectors(column, dimension, score, stored_form(table.schema))
    kept = pa.array(vectors.kept)
    sample = Block(ids.filter(kept), vectors.matrix, {KEY_HASH: keys_hash.filter(kept)})
    return sample.take(np.argsort(row_hash.filter(kept).to_numpy(), kind="stable")[:count])


def _choose_nprobe(truth: GroundTruth, right: "DataFrame", recall: float, least: int = 1) -> tuple[int, Recall]:
    """Return how many lists to search, `least` or more, and the measured recall."""
    lists, rows = len(truth.quantizer), len(truth.queries)
    half = rows // 2  # queries are sorted by hash, so each half is a sample
    all_lists = lists, Recall(1.0, 1.0, 1.0)
    if recall == 1.0 or not half:
        return all_lists
    row, rank = _true_ranks(truth, right)
    first = row < half
    nprobe = max(choose_nprobe(rank[first], row[first], half, lists, recall), least)
    if nprobe >= lists:
        return all_lists
    row, rank = row[~first] - half, rank[~first]
    found, wanted = (np.bincount(each, minlength=rows - half) for each in (row[rank < nprobe], row))
    return nprobe, recall_of(found, wanted)


def _true_ranks(truth: GroundTruth, right: "DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """Return for each true pair the query, and the rank of the right row's list among the query's lists.

    One pass over the right rows finds the true neighbours.
    """
    schema = f"left_id int, right_id {right.schema[ID].dataType.simpleString()}, score double, list int"
    order = Window.partitionBy("left_id").orderBy(sf.col("score").desc(), "right_id")
    ranked = map_batches(right, truth, schema).withColumn("rank", sf.row_number().over(order))
    best = ranked.where(sf.col("rank") <= truth.k).select("left_id", "list").collect()
    row, lists = np.array(best, np.int64).reshape(-1, 2).T
    probed = truth.quantizer.probe(truth.queries.matrix, len(truth.quantizer))
    return row, np.argsort(probed, axis=1)[row, lists]  # an order's argsort holds the rank of each list


def _key_hash(keys: tuple[str, ...]) -> "Column":
    return (sf.xxhash64(*keys) if keys else sf.lit(0).cast("bigint")).alias(KEY_HASH)


def _partition_rows(rows: int, stats: "InputStats", request: "Request") -> float:
    """Return the number of rows in a partition: as many as memory holds, or fewer to keep all cores busy."""
    size, settings = rows * 4 * stats.dimension, request.settings
    busy = min(_TASKS_PER_CORE * stats.cores, size / settings.min_partition_bytes)
    return rows / max(size / settings.partition_bytes, busy, 1.0)

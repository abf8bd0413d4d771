"""Cells for an approximate join, and how many of them to search: told by exact neighbours of a few left rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as sf

from st_spark.join import shuffle
from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.tasks.ground_truth import Drawn, Truth
from st_spark.join.tasks.list_assignment import SALT
from st_spark.join.tasks.regions import Regions, grouped
from st_spark.join.tasks.vector_column import checked
from st_spark.topk.coarse_quantizer import CoarseQuantizer, list_count
from st_spark.topk.kmeans import list_centroids
from st_spark.topk.recall import Recall, choose_nprobe, found_within, recall_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from st_spark.join.input_stats import Survey
    from st_spark.join.inputs import Sides
    from st_spark.join.options import Request

# Right rows that the centroids are means of; left rows whose exact neighbours tell the recall, half of them to choose
# nprobe and half to measure; and left rows that tell how many search each cell.
_SAMPLE, _QUERIES, _SEARCHERS = 100_000, 1_000, 5_000
# Vectors of a region, in bytes, and of those that are worth a task of their own; regions for each core.
_REGION, _LEAST_REGION, _WAVES = 1 << 27, 1 << 22, 4
# Left rows of a meeting, against those that would make a region.
_MOST_LEFT = 2.0
_KEY = "_key"
# What comes to the driver, in bytes: Spark lets a job bring it a gigabyte.
_DRAWN = 1 << 28


@dataclass(frozen=True)
class Tuned:
    """Cells that give the recall.

    Attributes:
        cells: The cells.
        nprobe: How many of them a left row searches.
        recall: What that gave for left rows that did not help to choose it.
        regions: Which meetings the cells belong to.
    """

    cells: CoarseQuantizer
    nprobe: int
    recall: Recall
    regions: Regions

    def facts(self, request: "Request") -> dict[str, Any]:
        """What the result says."""
        recall = self.recall
        numbers = {"recall": recall.value, "recall_low": recall.low, "recall_high": recall.high}
        facts = {name: round(value, 4) for name, value in numbers.items()}
        return {**facts, "recall_asked": request.recall, "cells": len(self.cells), "nprobe": self.nprobe}


def tune(sides: "Sides", found: "Survey", request: "Request", k: int) -> Tuned | None:
    """Makes cells, and chooses how many of them to search; None where a side has no rows."""
    itself = sides.right is None
    n, m = found.left.kept, (found.right or found.left).kept
    right = sides.left if sides.right is None else sides.right
    if not n or not m:
        return None
    size = found.dimension, request.score
    # Of a self join the rows that are asked for do not help to make the cells, where there are others.
    aside = min(_QUERIES, n // 2) if itself else 0
    most = min(_SAMPLE, _DRAWN // (4 * found.dimension))
    sample = draw(right, m, most + aside, sides.keys, *size)
    searchers = sample if itself else draw(sides.left, n, _SEARCHERS, sides.keys, *size)
    learnt = sample.matrix[aside:]
    cells = CoarseQuantizer(list_centroids(learnt, list_count(m, len(learnt)), request.score), request.score)
    queries = searchers.part(0, aside if itself else _QUERIES)
    nprobe, recall = _measured(right, queries, cells, request, k, sides)
    rights = np.bincount(cells.assign(learnt), minlength=len(cells)).astype(np.float64) * (m / len(learnt))
    probes = cells.probe(searchers.matrix[:_SEARCHERS], nprobe)
    lefts = np.bincount(probes.ravel(), minlength=len(cells)).astype(np.float64) * (n / probes.size)
    target = _region_rows(n + m, found)
    return Tuned(cells, nprobe, recall, grouped(cells.centroids, rights, lefts, target, _MOST_LEFT * target))


def draw(side: "DataFrame", rows: int, count: int, keys: tuple[str, ...], dimension: int, score: str) -> Drawn:
    """The rows whose ids have the smallest hashes: the same ones wherever they lie.

    Args:
        side: ID, VECTOR and keys.
        rows: How many there are.
        count: How many are wanted.
        keys: Names of the keys.
        dimension: Values of a vector.
        score: One of vectors.SCORES.
    """
    share = min(1.0, (count + 5 * count**0.5 + 20) / max(rows, 1))
    limit = min(int(share * 2.0**64) - 2**63, 2**63 - 1)
    drawn = side.select(ID, _hashed(keys), sf.xxhash64(ID).alias(SALT), VECTOR).where(sf.col(SALT) <= limit)
    # Before Spark 4.0 there is no Arrow here without a detour.
    table = drawn.toArrow() if hasattr(drawn, "toArrow") else pa.Table.from_pandas(drawn.toPandas())
    ids, key, salts, vectors = (column.combine_chunks() for column in table.columns)
    found = checked(vectors, dimension, score)
    kept = np.flatnonzero(found.kept)
    ids, key, salts = ids.take(pa.array(kept)), key.to_numpy()[kept], salts.to_numpy()[kept]
    order = np.lexsort((pc.rank(ids, tiebreaker="first").to_numpy(), salts))[:count]
    return Drawn(ids.take(pa.array(order)), key[order], found.matrix[order])


def _measured(
    right: "DataFrame", queries: Drawn, cells: CoarseQuantizer, request: "Request", k: int, sides: "Sides"
) -> tuple[int, Recall]:
    """How many cells to search, and the recall: one pass over the right rows finds the true neighbours."""
    if request.recall == 1.0 or not len(queries.ids):
        return len(cells), Recall(1.0, 1.0, 1.0)
    truth = Truth(queries, cells, k, request.threshold, sides.right is None, (ID, VECTOR, _KEY))

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.spark.task_resources import use_granted

        use_granted()
        yield from truth(batches)

    kind = right.schema[ID].dataType.simpleString()
    made = right.select(ID, VECTOR, _hashed(sides.keys)).mapInArrow(
        look, f"left_id int, right_id {kind}, score double, cell int"
    )
    best = shuffle.best(made, k).select("left_id", "cell").collect()
    row, cell = (np.array([each[name] for each in best], np.int64) for name in ("left_id", "cell"))
    rows = len(queries.ids)
    order = cells.probe(queries.matrix, len(cells))
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(cells))[None, :], axis=1)
    rank = ranks[row, cell]
    # The queries stand in the order of their hashes, so any half of them is a sample.
    half = rows // 2
    tuning = row < half
    nprobe = choose_nprobe(rank[tuning], row[tuning], half, len(cells), request.recall) if half else len(cells)
    if nprobe == len(cells):
        return nprobe, Recall(1.0, 1.0, 1.0)
    rest = rank[~tuning], row[~tuning] - half
    return nprobe, recall_of(found_within(*rest, rows - half, nprobe), np.bincount(rest[1], minlength=rows - half))


def _hashed(keys: tuple[str, ...]) -> "Column":
    return (sf.xxhash64(*keys) if keys else sf.lit(0).cast("bigint")).alias(_KEY)


def _region_rows(rows: int, found: "Survey") -> float:
    """Rows of both sides in a region: as many as memory likes, if that gives all cores work."""
    size = 4 * found.dimension
    regions = max(rows * size / _REGION, min(_WAVES * found.cores, rows * size / _LEAST_REGION), 1.0)
    return rows / regions

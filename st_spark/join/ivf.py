"""The approximate join: left rows are compared with the right rows of some cells only, as many as the recall takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.join import exact, meetings
from st_spark.join.cells import Cells, Recall, cell_count, choose_nprobe, found_within, recall_of
from st_spark.join.kmeans import centroids
from st_spark.join.meetings import ID, VECTOR, Tagged
from st_spark.join.merging import merged
from st_spark.join.regions import Regions, grouped
from st_spark.join.searching import Searching
from st_spark.join.sides import MEETING
from st_spark.join.tagging import CELL, PROBES, SALT, Tagging
from st_spark.join.truth import Drawn, Truth

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from st_spark.join.inputs import Sides
    from st_spark.join.request import Request
    from st_spark.join.survey import Survey

# Right rows that the centroids are means of; left rows whose exact neighbours tell the recall, half of them to choose
# nprobe and half to measure; and left rows that tell how many search each cell.
_SAMPLE, _QUERIES, _SEARCHERS = 100_000, 1_000, 5_000
# Vectors of a region, in bytes, and of those that are worth a task of their own; regions for each core.
_REGION, _LEAST_REGION, _WAVES = 1 << 27, 1 << 22, 4
# Left rows of a meeting, against those that would make a region.
_MOST_LEFT = 2.0
_KEY = "_key"
# Rows that travel to the driver in one piece.
_PIECE = 256


def pairs(sides: "Sides", found: "Survey", request: "Request") -> "tuple[DataFrame, dict[str, Any]]":
    """The best right rows of each left row, as far as the cells that it searches hold them.

    Args:
        sides: The rows.
        found: Their counts.
        request: With k.

    Returns:
        left_id, right_id, score, rank; and the facts: recall (measured), recall_low and recall_high (its 95% interval),
        recall_asked, cells, nprobe. A join of no rows has none of these. A left row has fewer than k neighbours also
        where the cells that it searches hold fewer.

    Raises:
        InputError: No k.
    """
    if request.k is None:
        raise InputError(
            "method='ivf' finds the k best of each row, and no k is given.", "give k, or use method='exact'."
        )
    tuned = tune(sides, found, request, request.k)
    if tuned is None:
        return exact.neighbours(sides, found, request, request.k)
    itself = sides.right is None
    carried = (CELL, PROBES)
    columns = [*sides.keys, *carried]
    rows = meetings.left_rows(_tagged(sides.left, sides.keys, tuned, left=True, right=itself), columns)
    if sides.right is not None:
        right = _tagged(sides.right, sides.keys, tuned, left=False, right=True)
        rows = meetings.union(rows, meetings.right_rows(right, columns))
    tagged = Tagged(rows, tuned.regions.meetings, sides.keys, carried)
    work = Searching(request.k, request.score, request.threshold, itself)
    left, right_id, score = exact.schema(sides).fields
    lists = [StructField(each.name, ArrayType(each.dataType)) for each in (right_id, score)]
    made = meetings.hold(tagged, found.dimension, request.score, work, StructType([left, *lists]))
    return _best(made, request.k, exact.schema(sides, ranked=True)), tuned.facts(request)


@dataclass(frozen=True)
class Tuned:
    """Cells that give the recall.

    Attributes:
        cells: The cells.
        nprobe: How many of them a left row searches.
        recall: What that gave for left rows that did not help to choose it.
        regions: Which meetings the cells belong to.
    """

    cells: Cells
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
    sample = draw(right, m, _SAMPLE + aside, sides.keys, *size)
    searchers = sample if itself else draw(sides.left, n, _SEARCHERS, sides.keys, *size)
    learnt = sample.matrix[aside:]
    cells = Cells(centroids(learnt, cell_count(m, len(learnt)), request.score), request.score)
    queries = searchers.part(0, aside if itself else _QUERIES)
    nprobe, recall = _measured(right, queries, cells, request, k, sides)
    rights = np.bincount(cells.home(learnt), minlength=len(cells)).astype(np.float64) * (m / len(learnt))
    probes = cells.probes(searchers.matrix[:_SEARCHERS], nprobe)
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

    def pack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.join.vectors import checked

        for batch in batches:
            for start in range(0, len(batch), _PIECE):
                piece = batch.slice(start, _PIECE)
                found = checked(piece.column(VECTOR), dimension, score)
                columns = [piece.column(name).filter(pa.array(found.kept)) for name in (ID, _KEY, SALT)]
                lists = [pa.ListArray.from_arrays(pa.array([0, len(each)], pa.int32()), each) for each in columns]
                yield pa.RecordBatch.from_arrays(
                    [*lists, pa.array([found.matrix.tobytes()], pa.binary())], names=["ids", "keys", "salts", "vectors"]
                )

    kind = side.schema[ID].dataType.simpleString()
    packed = drawn.mapInArrow(pack, f"ids array<{kind}>, keys array<bigint>, salts array<bigint>, vectors binary")
    found = packed.collect()
    double = isinstance(side.schema[VECTOR].dataType.elementType, DoubleType)  # type: ignore[attr-defined]
    parts = [np.frombuffer(row["vectors"], np.float64 if double else np.float32) for row in found]
    matrix = np.concatenate(parts).reshape(-1, dimension)
    salts, key = (np.array([value for row in found for value in row[name]], np.int64) for name in ("salts", "keys"))
    ids = pa.array([value for row in found for value in row["ids"]], _arrow_id(kind))
    order = np.lexsort((pc.rank(ids, tiebreaker="first").to_numpy(), salts))[:count]
    return Drawn(ids.take(pa.array(order)), key[order], matrix[order])


def _measured(
    right: "DataFrame", queries: Drawn, cells: Cells, request: "Request", k: int, sides: "Sides"
) -> tuple[int, Recall]:
    """How many cells to search, and the recall: one pass over the right rows finds the true neighbours."""
    if request.recall == 1.0 or not len(queries.ids):
        return len(cells), Recall(1.0, 1.0, 1.0)
    truth = Truth(queries, cells, k, request.threshold, sides.right is None, (ID, VECTOR, _KEY))

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.worker import use_granted

        use_granted()
        yield from truth(batches)

    kind = right.schema[ID].dataType.simpleString()
    made = right.select(ID, VECTOR, _hashed(sides.keys)).mapInArrow(
        look, f"left_id int, right_id {kind}, score double, cell int"
    )
    best = meetings.best(made, k).select("left_id", "cell").collect()
    row, cell = (np.array([each[name] for each in best], np.int64) for name in ("left_id", "cell"))
    rows = len(queries.ids)
    order = cells.probes(queries.matrix, len(cells))
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


def _tagged(side: "DataFrame", keys: tuple[str, ...], tuned: Tuned, *, left: bool, right: bool) -> "DataFrame":
    """The rows of a side with their meetings and cells."""
    tagging = Tagging(tuned.cells, tuned.regions, tuned.nprobe, VECTOR, MEETING, left, right)

    def tag(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.worker import use_granted

        use_granted()
        yield from tagging(batches)

    fields = [side.schema[name] for name in (ID, VECTOR, *keys)]
    more = {MEETING: IntegerType(), CELL: IntegerType(), PROBES: ArrayType(IntegerType())}
    schema = StructType([*fields, *(StructField(name, kind) for name, kind in more.items())])
    return side.select(ID, VECTOR, *keys, sf.xxhash64(ID).alias(SALT)).mapInArrow(tag, schema)


def _best(lists: "DataFrame", k: int, schema: StructType) -> "DataFrame":
    """The k best of the lists that several meetings made for each left row."""

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from merged(batches, k)

    return lists.repartition("left_id").sortWithinPartitions("left_id").mapInArrow(merge, schema)


def _hashed(keys: tuple[str, ...]) -> "Column":
    return (sf.xxhash64(*keys) if keys else sf.lit(0).cast("bigint")).alias(_KEY)


def _region_rows(rows: int, found: "Survey") -> float:
    """Rows of both sides in a region: as many as memory likes, if that gives all cores work."""
    size = 4 * found.dimension
    regions = max(rows * size / _REGION, min(_WAVES * found.cores, rows * size / _LEAST_REGION), 1.0)
    return rows / regions


def _arrow_id(kind: str) -> pa.DataType:
    return {"string": pa.string(), "bigint": pa.int64(), "int": pa.int32(), "smallint": pa.int16()}.get(kind, pa.int8())

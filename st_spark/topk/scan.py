"""One loop for all searches: scans choose the tiles, and the pairs in them are collected.

The full scan is here: all pairs, tile by tile. One product serves the rows and the columns.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from st_spark.topk.candidates import RowMapping, TopKCollector
from st_spark.topk.centered import center_both
from st_spark.topk.leading import leading_directions
from st_spark.topk.pairs import Pairs
from st_spark.topk.quantized import quantize_both
from st_spark.topk.scores import Matrix, Places, Rescorer, Scores, chunks
from st_spark.topk.settings import Settings
from st_spark.topk.tiles import Part, Tiles

# Some rows and columns of the tiles, and the places of these rows in the scan.
Search = tuple[Part, slice, Places]
# Pairs above a threshold are passed on when there are this many.
_PAIRS = 1 << 20


@dataclass(frozen=True)
class Query:
    """What to search."""

    left: Matrix  # [n, d] rows, not empty
    right: Matrix  # [m, d] columns, all different, not empty
    k: int | None  # How many columns are wanted of each row; None for all
    score: str  # One of "cosine", "dot" and "euclidean"
    thresholds: Scores  # [n] lowest value that is wanted of a row; see scores.to_values()
    settings: Settings  # See Settings
    both: bool = False  # Whether the k best rows of each column are wanted, too
    self_join: bool = False  # Whether both sides are the same rows, and one of (a, b) and (b, a) is enough

    @cached_property
    def rescore(self) -> Rescorer:
        """Computes exact values of pairs."""
        return Rescorer(self.left, self.right, self.score)


class Scan(Protocol):
    """Compares some rows with all columns, except for those that cannot match."""

    tiles: Tiles  # Multiplies rows and columns
    numbers: Places  # [rows] the left row of each row of the scan
    both_ways: bool  # Whether a self join finds a pair twice, as (a, b) and (b, a)

    def searches(self, topk: TopKCollector) -> Iterator[Search]:
        """Yield what to search. Each search may raise the thresholds before the next one is chosen."""


def collect(scans: Iterable[Scan], query: Query, column_topk: TopKCollector | None = None) -> Pairs:
    """Return the k best pairs of each row and all that tie with the last one; unsorted, with exact values.

    `column_topk` collects the best rows of all columns, if they are wanted, too.
    """
    found = []
    for scan in scans:
        topk = row_topk(scan, query)
        for rows, columns, places in scan.searches(topk):
            scan.tiles.collect(rows, columns, topk, places, column_topk)
        found.append(topk.result())
    return Pairs.concat(found)


def collect_above(scans: Iterable[Scan], query: Query) -> Iterator[Pairs]:
    """Yield all pairs that may reach the threshold of their row, some at a time, unsorted, with exact values."""
    for scan in scans:
        topk, parts, held = row_topk(scan, query), [], 0
        for rows, columns, places in scan.searches(topk):
            found = scan.tiles.reaching(rows, columns, topk.thresholds[places])
            left, right = scan.numbers[places[found.rows]], topk.mapping.columns[columns][found.columns]
            once = left <= right if query.self_join and scan.both_ways else slice(None)
            parts.append((left[once], right[once]))
            held += len(found.rows)
            if held > _PAIRS:
                yield _rescored(parts, query)
                parts, held = [], 0
        yield _rescored(parts, query)


def row_topk(scan: Scan, query: Query) -> TopKCollector:
    """Return the collector for the rows of a scan."""
    mapping = RowMapping(query.rescore, scan.numbers, scan.tiles.right.order)
    return TopKCollector(query.k or 1, query.thresholds[scan.numbers], mapping, query.settings.max_held)


def _rescored(parts: list[tuple[Places, Places]], query: Query) -> Pairs:
    none = np.empty(0, np.int64)
    left, right = (np.concatenate(side) for side in zip((none, none), *parts, strict=True))
    return Pairs(left, right, query.rescore(left, right))


class FullScan:
    """Compares a block of rows with all columns; in a self join with the columns of this block and of later ones."""

    both_ways = False

    def __init__(self, tiles: Tiles, rows: slice, width: int, first: int) -> None:
        self.tiles, self.numbers = tiles, tiles.left.order[rows]
        self._rows, self._width, self._first = rows, width, first

    def searches(self, topk: TopKCollector) -> Iterator[Search]:
        """Yield all tiles."""
        for columns in chunks(len(self.tiles.right), self._width):
            if columns.stop > self._first:
                yield self._rows, slice(max(columns.start, self._first), columns.stop), np.arange(len(self.numbers))


def full_scans(query: Query) -> list[FullScan]:
    """Return the scans of all rows."""
    height, width = query.settings.tile_shape()
    blocks = [np.arange(0, len(side), size) for side, size in ((query.left, height), (query.right, width))]
    sides = center_both(query.left, query.right, query.score)
    directions = leading_directions(*sides, query.thresholds, query.settings)
    # A self join skips earlier columns, so both sides have the same order, however their means were rounded.
    orders = [sides[1].order()] * 2 if query.self_join else None
    ours, theirs = quantize_both(*sides, query.settings.format(), blocks, orders, directions)
    tiles = Tiles(ours, theirs, row_numbers=ours.order if query.both else None)
    return [FullScan(tiles, rows, width, rows.start if query.self_join else 0) for rows in chunks(len(ours), height)]

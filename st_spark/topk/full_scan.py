"""The full scan: all pairs, tile by tile. One product serves the rows and the columns."""

from collections.abc import Iterator

import numpy as np

from st_spark.topk.candidates import TopKCollector
from st_spark.topk.quantized import quantize_both
from st_spark.topk.scan import Query, Search
from st_spark.topk.scores import chunks
from st_spark.topk.tiles import Tiles


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
    ours, theirs = quantize_both(query.left, query.right, query.score, query.settings.format(), blocks)
    tiles = Tiles(ours, theirs, row_numbers=ours.order if query.both else None)
    return [FullScan(tiles, rows, width, rows.start if query.self_join else 0) for rows in chunks(len(ours), height)]

"""The best pairs among those that meet in a cell: left rows visit the cells that they search. No Spark.

Exact within the visited cells, whatever the tiles: products in float32, with a proven bound on their error, find what
can be among the best, and float64 scores decide.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from st_spark.join.distinct import distinct
from st_spark.join.pairs import Pairs
from st_spark.join.ranking import tables
from st_spark.join.scaled import Scaled, scaled
from st_spark.join.scores import Places, Rescorer
from st_spark.join.vectors import Matrix

# The largest tile of products.
_ROWS, _COLUMNS = 1024, 2048
# Hits of a tile per row and wanted pair from which on right rows are so much alike that float64 pays.
_MANY = 16
# Candidates that are held before the hopeless ones are dropped.
_HELD = 1 << 22


@dataclass(frozen=True)
class Visits:
    """Which left rows search which cells.

    Attributes:
        left: [visits] place of the left row.
        cell: [visits] the cell.
        rank: [visits] 0 for the cell that is best for the row, which shows what the next ones must be able to reach.
    """

    left: Places
    cell: Places
    rank: Places


def nearest(
    left: Matrix,
    right: Matrix,
    cells: Places,
    visits: Visits,
    k: int,
    score: str,
    *,
    threshold: float | None = None,
    twins: Places | None = None,
) -> Pairs:
    """The k best right rows for each left row, of those in the cells that it visits.

    Args:
        left: [n, d] vectors as vectors.checked gives them.
        right: [m, d] vectors; of equal scores the one that stands first is better.
        cells: [m] the cell of each right row; equal rows have equal cells.
        visits: What to search; each pair of a row and a cell once.
        k: How many.
        score: One of vectors.SCORES.
        threshold: Only pairs with at least this score.
        twins: [n] the place in `right` of the very same row, or -1: a row is no neighbour of itself.
    """
    columns = distinct(right)
    order = columns.firsts[np.argsort(cells[columns.firsts], kind="stable")]
    wanted = k + (twins is not None)
    search = _Search(scaled(left, right[order], score, threshold), wanted)
    wave = np.log2(visits.rank + 1).astype(np.int64)  # of 1, 2, 4, ... visits of a row: so often its reach is raised
    for number in range(int(wave.max(initial=-1)) + 1):
        for rows, first, stop in _tiles(visits, np.flatnonzero(wave == number), cells[order]):
            search.see(rows, first, stop)
        search.tighten()
    rows, found = search.candidates()
    pairs = Pairs(rows, order[found], Rescorer(left, right, score)(rows, order[found]))
    if not columns.all_differ:
        which, places = columns.expanded(np.searchsorted(columns.firsts, pairs.right), wanted)
        pairs = Pairs(pairs.left[which], places, pairs.score[which])
    good = pairs.score >= (-np.inf if threshold is None else threshold)
    if twins is not None:
        good &= pairs.right != twins[pairs.left]
    pairs = pairs.taken(np.flatnonzero(good))
    parts = [table.sorted() for table in tables(pairs.left, pairs.score)]
    pairs = pairs.taken(np.concatenate([np.empty(0, np.int64), *parts]))
    if ((np.diff(pairs.left) == 0) & (np.diff(pairs.score) == 0)).any():
        pairs = pairs.sorted()
    return pairs.first(k)


def _tiles(visits: Visits, which: Places, cells: Places) -> Iterator[tuple[Places, int, int]]:
    """For some visits the left rows, and from where to where in the right rows, which stand by cells, they look."""
    which = which[np.argsort(visits.cell[which], kind="stable")]
    visited, starts = np.unique(visits.cell[which], return_index=True)
    firsts, stops = np.searchsorted(cells, visited), np.searchsorted(cells, visited, side="right")
    rows = np.split(visits.left[which], starts[1:])
    for inside, first, stop in zip(rows, firsts.tolist(), stops.tolist(), strict=False):
        for row in range(0, len(inside), _ROWS):
            for column in range(first, stop, _COLUMNS):
                yield inside[row : row + _ROWS], column, min(column + _COLUMNS, stop)


class _Search:
    """Collects what can be among the best of each left row, tile after tile.

    Args:
        sides: What to multiply.
        k: How many are wanted.
    """

    def __init__(self, sides: Scaled, k: int) -> None:
        self.sides, self.k = sides, k
        self.left, self.right = sides.left(), sides.right()
        self.reach = sides.need.copy()  # what the value of a pair must be at least to be among the best
        self.slack = {dtype: sides.slack(dtype) for dtype in (torch.float32, torch.float64)}
        self._found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        self._held = 0
        self._buffer = torch.empty(_ROWS * _COLUMNS)

    def see(self, rows: Places, first: int, stop: int) -> None:
        """Takes what the right rows first..stop have to give to some left rows."""
        buffer = self._buffer[: len(rows) * (stop - first)].view(len(rows), stop - first)
        tile = torch.mm(self.left[torch.from_numpy(rows)], self.right[first:stop].t(), out=buffer)
        hits = self._hits(tile, rows, first)
        if len(hits) > _MANY * self.k * len(rows):  # many right rows are nearly the same: a sharper look
            chosen = self.sides.left(rows, torch.float64)
            tile = torch.mm(chosen, self.sides.right(slice(first, stop), torch.float64).t())
            hits = self._hits(tile, rows, first)
        row, column = np.divmod(hits, stop - first)
        self._found.append((rows[row], column + first, tile.numpy().ravel()[hits].astype(np.float64)))
        self._held += len(hits)
        if self._held > _HELD:
            self.tighten()

    def candidates(self) -> tuple[Places, Places]:
        """Left rows and right rows of what can be among the best, once tightened."""
        return self._found[0][:2]

    def _hits(self, tile: torch.Tensor, rows: Places, first: int) -> Places:
        """The flat places in a tile of what can be among the best; raises the rows' reach to what the tile shows."""
        slack = self.slack[tile.dtype][rows]
        values = tile.numpy()
        if self.sides.shift is not None:
            values -= self.sides.shift[first : first + values.shape[1]].astype(values.dtype)
        reach, columns = self.reach[rows], values.shape[1]
        if columns >= self.k and (tile.dtype == torch.float64 or np.isneginf(reach).any()):
            kth = np.partition(values, columns - self.k, axis=1)[:, columns - self.k]
            reach = np.maximum(reach, kth - slack)
            self.reach[rows] = reach
        least = np.nextafter((reach - slack).astype(values.dtype), -np.inf)
        return np.flatnonzero(values >= least[:, None])

    def tighten(self) -> None:
        """Raises the reach to the k-th best so far, and drops what does not come near."""
        row, column, value = (np.concatenate(side) for side in zip(*self._found, strict=True))
        slack = self.slack[torch.float32]
        for table in tables(row, value):
            rows = table.rows
            self.reach[rows] = np.maximum(self.reach[rows], table.kth(self.k) - slack[rows])
        kept = np.flatnonzero(value >= self.reach[row] - slack[row])
        self._found = [(row[kept], column[kept], value[kept])]
        self._held = len(kept)

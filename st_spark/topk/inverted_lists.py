"""The best pairs among those that meet in a cell: left rows visit the cells that they search. No Spark.

Exact within the visited cells, whatever the tiles: products of codes, with a proven bound on their error, find what can
be among the best, and float64 scores decide.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from st_spark.topk.candidates import Best, Candidates, Pairing
from st_spark.topk.pairs import Pairs
from st_spark.topk.products import lowered, sides, values
from st_spark.topk.scores import Matrix, Places, Scores, leveled
from st_spark.topk.tile import Tile, run_width
from st_spark.topk.tiles import Tiles
from st_spark.topk.unique_rows import distinct

# The largest tile of products, and columns of which the largest value is looked at first.
_ROWS, _COLUMNS, _RUN = 1024, 2048, 8
# Right rows for each wanted one that a left row meets: of fewer, float32 products take less time than a second look at
# what codes cannot tell apart.
_FEW = 500


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
    left, right, unit = leveled(left, right, score)
    need = np.full(len(left), -np.inf if threshold is None else threshold * unit)
    columns = distinct(right)
    wanted = k + (twins is not None)
    pairs = _best(left, columns.of(right), cells[columns.firsts], visits, wanted, score, lowered(need))
    which, places = columns.expanded(pairs.right, wanted)
    pairs = Pairs(pairs.left[which], places, pairs.score[which])
    good = pairs.score >= need[pairs.left]
    if twins is not None:
        good &= pairs.right != twins[pairs.left]
    return pairs.taken(np.flatnonzero(good)).sorted().first(k).times(1 / unit)


def _best(left: Matrix, right: Matrix, cells: Places, visits: Visits, k: int, score: str, need: Scores) -> Pairs:
    """The k best of distinct right rows, and what ties with them; not sorted."""
    if not len(left) or not len(right):
        return Pairs.joined([])
    order = np.argsort(cells, kind="stable")
    each = np.arange(len(left))
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    sizes = np.bincount(cells, minlength=int(visits.cell.max(initial=0)) + 1)
    met = sizes[visits.cell].sum() / len(left)
    dtype = torch.float32 if met < _FEW * k else None
    ready = sides(left, right, score, (each, starts), (each, order), dtype)
    tiles = Tiles(ready, (_ROWS, _COLUMNS))
    best = Best(k, values(need, score), Pairing(ready.rescore, each, order))
    wave = np.log2(visits.rank + 1).astype(np.int64)  # of 1, 2, 4, ... visits of a row: so often its need is raised
    for number in range(int(wave.max(initial=-1)) + 1):
        for rows, span in _tiles(visits, np.flatnonzero(wave == number), cells[order]):
            tile = tiles.tile(rows, span)
            hits = _hits(tile, rows, best)
            if tile.too_many(hits, k):
                hits = _hits(tiles.sharp(rows, span), rows, best)
            best.add(replace(hits, rows=rows[hits.rows]))
        best.tighten()
    return best.result()


def _hits(tile: Tile, rows: Places, best: Best) -> Candidates:
    """What can be among the best of some rows; of those of which nothing is known yet, what they need is raised."""
    runs = tile.row_runs(run_width(_RUN, tile.values.shape[1], best.k))
    need = best.need[rows]
    if runs.shape[1] >= best.k and np.isneginf(need).any():
        best.need[rows] = need = np.maximum(need, tile.kth(runs, best.k, of_rows=True))
    return tile.row_hits(runs, need)


def _tiles(visits: Visits, which: Places, cells: Places) -> Iterator[tuple[Places, slice]]:
    """For some visits left rows, and the right rows, which stand by cells, that they look at."""
    which = which[np.argsort(visits.cell[which], kind="stable")]
    visited, starts = np.unique(visits.cell[which], return_index=True)
    firsts, stops = np.searchsorted(cells, visited), np.searchsorted(cells, visited, side="right")
    rows = np.split(visits.left[which], starts[1:])
    for inside, first, stop in zip(rows, firsts.tolist(), stops.tolist(), strict=False):
        for row in range(0, len(inside), _ROWS):
            for column in range(first, stop, _COLUMNS):
                yield inside[row : row + _ROWS], slice(column, min(column + _COLUMNS, stop))

"""Every pair of two sides, tile by tile: the best of rows and of columns from one product, or all above a threshold.

Rows are taken block by block, and each block meets all columns: what its rows need rises from tile to tile. What
columns need rises from block to block.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.balls import balls, gathered
from st_spark.topk.candidates import Best, Candidates, Pairing
from st_spark.topk.kmeans import lloyd
from st_spark.topk.pairs import Pairs
from st_spark.topk.products import blocks_of, factors, lowered, sides, values
from st_spark.topk.quantized import pieces, scaled
from st_spark.topk.scores import Matrix, Places, Scores
from st_spark.topk.tile import Tile, run_width
from st_spark.topk.tiles import Tiles

# Rows and columns of a tile: on a CPU it stays in the last cache, on a GPU it keeps the chip busy.
_ROWS, _COLUMNS = (1024, 8192), (2048, 16384)
# Columns, and rows, of which the largest value is looked at first. Those of a column lie apart in memory.
_RUNS = (32, 8)
# Rows of a ball, rows for each pivot that they are gathered around, most pivots, their sample, and rounds of k-means.
_GROUP, _PIVOT, _PIVOTS, _SAMPLE, _ROUNDS = 512, 512, 1024, 8192, 4


def nearest(
    left: Matrix, right: Matrix, k: int, score: str, need: Scores, back: Scores | None = None
) -> tuple[Pairs, Pairs]:
    """The k best columns of each row, and what ties with them; if wanted also the k best rows of each column.

    Args:
        left: [n, d] rows, all different, not empty.
        right: [m, d] columns, all different, not empty.
        k: How many.
        score: One of vectors.SCORES.
        need: [n] least score that a pair of a row is wanted for.
        back: [m] the same of columns, where their k best rows are wanted, too.

    Returns:
        Pairs of rows and columns, and of columns and rows; in no order.
    """
    shape = _shape()
    ready = sides(left, right, score, (blocks_of(len(left), shape[0]), blocks_of(len(right), shape[1])))
    orders = ready.left.plan.order, ready.right.plan.order
    least = values(lowered(need), score)[orders[0]]
    theirs = np.full(len(right), -np.inf) if back is None else values(lowered(back), score)[orders[1]]
    behind = Best(k, theirs, Pairing(ready.rescore, orders[1], orders[0], turned=True))
    tiles = Tiles(ready, shape)
    found = []
    for number, rows in enumerate(pieces(len(left), shape[0])):
        best = Best(k, least[rows], Pairing(ready.rescore, orders[0][rows], orders[1]))
        _swept(tiles, rows, best, None if back is None else behind, first=number == 0)
        found.append(best.result())
        if back is not None and _is_power(number + 1):
            behind.tighten()
    return Pairs.joined(found), behind.result()


def _swept(tiles: Tiles, rows: slice, best: Best, back: Best | None, *, first: bool) -> None:
    """Takes what a block of rows finds among all columns, and they among it."""
    spans = pieces(len(tiles.sides.right), _shape()[1])
    for number, columns in enumerate(spans):
        new = number == 0, first
        tile = tiles.tile(rows, columns)
        hits = _hits(tile, best, back, new)
        if any(tile.too_many(each, best.k) for each in hits):
            hits = _hits(tiles.sharp(rows, columns), best, back, new)
        best.add(hits[0])
        if back is not None:
            back.add(hits[1])
        if _is_power(number + 1) and number + 1 < len(spans):
            best.tighten()


def _hits(tile: Tile, best: Best, back: Best | None, new: tuple[bool, bool]) -> list[Candidates]:
    """Of rows, and of columns; raises what they need where these are new: nothing is known of them yet."""
    runs = tile.row_runs(run_width(_RUNS[0], tile.values.shape[1], best.k))
    if new[0] and runs.shape[1] >= best.k:
        np.maximum(best.need, tile.kth(runs, best.k, of_rows=True), out=best.need)
    hits = [tile.row_hits(runs, best.need)]
    if back is None:
        return hits
    need = back.need[tile.columns]  # a view: what is raised here is raised there
    runs = tile.column_runs(run_width(_RUNS[1], tile.values.shape[0], back.k))
    if new[1] and runs.shape[0] >= back.k:
        np.maximum(need, tile.kth(runs, back.k, of_rows=False), out=need)
    return [*hits, tile.column_hits(runs, need)]


def above(left: Matrix, right: Matrix, threshold: float, score: str, *, upper: bool) -> Iterator[Pairs]:
    """All pairs that may have a score, and few others; those of some rows at a time.

    Args:
        left: [n, d] rows, all different, not empty.
        right: [m, d] columns, all different, not empty.
        threshold: The score.
        score: One of vectors.SCORES.
        upper: Both sides are the same rows, and one of (a, b) and (b, a) is enough.
    """
    shape = _GROUP, _shape()[1]
    orders = _together(left, right, score, same=upper)
    blocks = blocks_of(len(left), shape[0]), blocks_of(len(right), shape[1])
    ready = sides(left, right, score, blocks, orders)
    tiles = Tiles(ready, shape)
    need = values(lowered(np.array([threshold])), score)
    ours, theirs = (
        balls(side, order, _GROUP, factors(side, score)) for side, order in zip((left, right), orders, strict=True)
    )
    meet = ours.may_meet(theirs, threshold, score)
    for number, rows in enumerate(pieces(len(left), _GROUP)):
        for columns in _spans(meet[number], number if upper else 0, len(right)):
            tile = tiles.tile(rows, columns)
            hits = _wanted(tile, need)
            if tile.too_many(hits, 0):
                hits = _wanted(tiles.sharp(rows, columns), need)
            i, j = orders[0][rows][hits.rows], orders[1][hits.columns]
            yield Pairs(i, j, ready.rescore(i, j))


def _wanted(tile: Tile, need: Scores) -> Candidates:
    return tile.row_hits(tile.row_runs(_RUNS[0]), np.repeat(need, len(tile.row_off)))


def _spans(meet: npt.NDArray[np.bool_], first: int, columns: int) -> list[slice]:
    """The columns that a group of rows may meet, from a ball on, in pieces of at most a tile."""
    spans: list[slice] = []
    for ball in np.flatnonzero(meet[first:]) + first:
        start, stop = int(ball) * _GROUP, min(int(ball + 1) * _GROUP, columns)
        if spans and spans[-1].stop == start and start % _shape()[1]:
            spans[-1] = slice(spans[-1].start, stop)
        else:
            spans.append(slice(start, stop))
    return spans


def _together(left: Matrix, right: Matrix, score: str, *, same: bool) -> tuple[Places, Places]:
    """Orders of both sides in which neighbours stand together."""
    sample = np.random.default_rng(0).permutation(len(right))[:_SAMPLE]
    drawn = scaled(right, factors(right, score), sample)
    pivots = lloyd(drawn, drawn[: min(-(-len(right) // _PIVOT), _PIVOTS)], _ROUNDS, score)
    columns = gathered(right, pivots)
    return columns if same else gathered(left, pivots), columns


def _shape() -> tuple[int, int]:
    """The most rows and columns of a tile."""
    place = int(torch.cuda.is_available())
    return _ROWS[place], _COLUMNS[place]


def _is_power(number: int) -> bool:
    """Whether it is a power of 3: so often what is needed is raised."""
    while number % 3 == 0:
        number //= 3
    return number == 1

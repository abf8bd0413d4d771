"""Which pairs can be among the best, or above a threshold: more than there are, and never fewer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.scores import Places, Scores
from st_spark.join.tiles import COLUMNS, RUN, Product, Tile, reaching, run_maxima

# Candidates of a stripe of rows that are held before those that have become hopeless are dropped.
_HELD = 1 << 22
_MOST = 2**31 - 256


@dataclass(frozen=True)
class Candidates:
    """Pairs of a stripe of rows.

    Attributes:
        rows: [pairs] row in the stripe, ascending.
        columns: [pairs] column.
        least: [pairs] no less than this is the true product; descending in each row.
        most: [pairs] no more than this.
    """

    rows: Places
    columns: Places
    least: npt.NDArray[np.float32]
    most: npt.NDArray[np.float32]

    def taken(self, which: npt.NDArray[np.generic]) -> "Candidates":
        """Some of them."""
        return Candidates(self.rows[which], self.columns[which], self.least[which], self.most[which])

    def sorted(self) -> "Candidates":
        """In the order that is promised."""
        # Positive floats order like their bits; negative ones the other way round.
        bits = self.least.view(np.int32).astype(np.int64)
        ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
        return self.taken(np.argsort((self.rows << 32) - ordered))

    def of(self, first: int, columns: Places) -> "Candidates":
        """The same of a matrix of which the stripe begins at a row, and of which the columns have these numbers."""
        return Candidates(self.rows + first, columns[self.columns], self.least, self.most)

    def ranks(self) -> Places:
        """[pairs] place of each in its row, from 0."""
        starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
        return np.arange(len(self.rows)) - np.repeat(starts, np.diff(starts, append=len(self.rows)))


class Best:
    """Collects what can be among the k best of each row of a stripe, tile after tile.

    Args:
        k: How many are wanted, or None for all that can reach what is needed.
        need: [rows] least product that a pair is wanted for.
    """

    def __init__(self, k: int | None, need: Scores) -> None:
        self.k = k
        self.need = need
        self._found: list[Candidates] = []
        self._held, self._tiles, self._next = 0, 0, 2

    def see(self, tile: Tile) -> None:
        """Takes what a tile has to give."""
        width = RUN if self.k is None else next((w for w in (32, 16, 8, 4, 2) if COLUMNS // w >= 4 * self.k), 1)
        maxima = run_maxima(tile.values, width)
        if self._tiles == 0 and self.k is not None and maxima.shape[1] >= self.k:
            # The k-th of the runs' maxima, which are products with k different columns.
            kth = maxima.topk(self.k, dim=1).values[:, -1]
            self.need = np.maximum(self.need, (kth * tile.units - tile.slack).double().cpu().numpy())
        rows, columns, values = reaching(tile.values, maxima, self._theta(tile))
        near = values * tile.units[rows]
        slack = tile.slack[rows]
        sides = (rows, columns + tile.start, near - slack, near + slack)
        self._found.append(Candidates(*(side.cpu().numpy() for side in sides)))
        self._held += len(rows)
        self._tiles += 1
        if self.k is not None and (self._tiles == self._next or self._held > _HELD):
            self._next = 3 * self._tiles
            self._tighten(self.k)

    def result(self) -> Candidates:
        """The candidates of all tiles."""
        if self.k is None:
            return _joined(self._found).sorted()
        self._tighten(self.k)
        return self._found[0]

    def _theta(self, tile: Tile) -> torch.Tensor:
        """[rows] what is needed, in units of the tile and of its type, rounded down."""
        need = torch.from_numpy(self.need).to(tile.units.device)
        theta = (need - tile.slack) / tile.units
        # Above what fills up the last tile, and never outside of the type.
        if tile.values.dtype != torch.int32:
            return theta.clamp_(min=torch.finfo(torch.float32).min).float()
        return theta.floor().clamp_(-_MOST, _MOST).to(torch.int32)

    def _tighten(self, k: int) -> None:
        """Raises what is needed to the k-th best so far, and drops what cannot reach it."""
        found = _joined(self._found).sorted()
        kth = np.flatnonzero(found.ranks() == k - 1)
        rows = found.rows[kth]
        self.need[rows] = np.maximum(self.need[rows], found.least[kth])
        self._found = [found.taken(found.most >= self.need[found.rows])]
        self._held = len(self._found[0].rows)


def _joined(parts: Sequence[Candidates]) -> Candidates:
    if not parts:
        none = np.empty(0, np.int64), np.empty(0, np.int64)
        return Candidates(*none, np.empty(0, np.float32), np.empty(0, np.float32))
    return Candidates(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.least for part in parts]),
        np.concatenate([part.most for part in parts]),
    )


def stripe(
    product: Product, part: slice, k: int | None, need: Scores, spans: Sequence[tuple[int, int]] | None = None
) -> Candidates:
    """The candidates of some rows.

    Args:
        product: Both sides; at least one column.
        part: The rows.
        k: How many best ones each row wants, or None.
        need: [rows] least product that a pair is wanted for; -inf for all.
        spans: Which columns; see Product.tiles. All by default.
    """
    best = Best(k, need)
    for tile in product.tiles(part, product.spans() if spans is None else spans):
        best.see(tile)
    return best.result()

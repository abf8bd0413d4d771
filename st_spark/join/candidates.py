"""Which pairs can be among the best, or above a threshold: more than there are, and never fewer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.codes import LEVELS, RUN
from st_spark.join.scores import Places, Scores
from st_spark.join.tiles import COLUMNS, Found, Product, Span, Tile

# Candidates of a stripe of rows that are held before those that have become hopeless are dropped.
_HELD = 1 << 22
Bounds = npt.NDArray[np.float32]
Wanted = Callable[[Places, Places], npt.NDArray[np.bool_]]
# Share of runs, by columns, that may be left open by products of the first values, before whole ones are cheaper.
_OPEN = 1e-3
# And share of pairs that are multiplied one by one then.
_SINGLE = 3e-4


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
    least: "Bounds"
    most: "Bounds"

    def taken(self, which: "npt.NDArray[np.generic] | slice") -> "Candidates":
        """Some of them."""
        return Candidates(self.rows[which], self.columns[which], self.least[which], self.most[which])

    def sorted(self) -> "Candidates":
        """In the order that is promised."""
        # Positive floats order like their bits; negative ones the other way round.
        bits = self.least.view(np.int32).astype(np.int64)
        ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
        return self.taken(np.argsort((self.rows << 32) - ordered))

    def of(self, first: int) -> "Candidates":
        """The same with rows counted from elsewhere."""
        return Candidates(self.rows + first, self.columns, self.least, self.most)

    def reordered(self, order: Places) -> "Candidates":
        """The same of rows in another order, sorted by rows."""
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        rows = place[self.rows]
        by_row = np.argsort(rows, kind="stable")
        return Candidates(rows, self.columns, self.least, self.most).taken(by_row)

    def ranks(self) -> Places:
        """[pairs] place of each in its row, from 0."""
        starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
        return np.arange(len(self.rows)) - np.repeat(starts, np.diff(starts, append=len(self.rows)))


class Depth:
    """How much of the vectors is multiplied at first: as little as leaves few pairs open, as far as it is known.

    Attributes:
        level: Now; see Product.tiles. It only falls: the rows that need most come first.
    """

    def __init__(self, *, whole: bool) -> None:
        self.level = 0 if whole else len(LEVELS)

    def failed(self) -> None:
        """Too many pairs were left open: from now on more of each is multiplied."""
        self.level -= 1


class Best:
    """Collects what can be among the k best of each row of a stripe, tile after tile.

    Args:
        product: Both sides.
        part: The rows of the stripe.
        k: How many are wanted, or None for all that can reach what is needed.
        need: [rows] least product that a pair is wanted for; -inf for all.
        wanted: Which pairs, by rows (of all) and columns, to take at all.
    """

    def __init__(
        self, product: Product, part: slice, k: int | None, need: Scores, wanted: Wanted | None = None
    ) -> None:
        self.product, self.part, self.k = product, part, k
        self.need = need
        self.wanted = wanted
        self._found: list[Candidates] = []
        self._held, self._tiles, self._next = 0, 0, 1
        widths = (RUN // 2**i for i in range(6))
        self._width = RUN if k is None else next((w for w in widths if COLUMNS // w >= 4 * k), 1)

    def whole(self, span: Span) -> None:
        """Takes what a tile of whole products has to give."""
        (tile,) = self.product.tiles(self.part, [span])
        maxima, slack = tile.maxima(self._width), tile.slack(self._width)
        if self._tiles == 0 and self.k is not None and maxima.shape[1] >= self.k:
            # The k-th of the runs' least possible maxima, which are products with k different columns.
            kth = (maxima - slack).topk(self.k, dim=1).values[:, -1]
            self.need = np.maximum(self.need, kth.double().cpu().numpy())
        need = self._least(tile)
        self.add(*self._of_interest(tile.opened(maxima + slack >= need[:, None], need, slack)))
        self._tiles += 1
        if self.k is not None and (self._tiles == self._next or self._held > _HELD):
            self._next = 3 * self._tiles
            self.tighten(self.k)

    def partly(self, span: Span, level: int) -> bool:
        """The same of products of the first values of vectors, unless these leave too many pairs open.

        Returns:
            Whether it was worth it; else nothing was taken.
        """
        (tile,) = self.product.tiles(self.part, [span], level)
        maxima, slack, need = tile.maxima(RUN), tile.slack(RUN), self._least(tile)
        runs = maxima + slack >= need[:, None]
        if float(runs.sum()) > _OPEN * tile.values.numel():
            return False
        rows, columns, *_ = self._of_interest(tile.opened(runs, need, slack))
        if len(rows) > _SINGLE * tile.values.numel():
            return False
        self.add(rows, columns, *self.product.pairs(rows + self.part.start, columns))
        return True

    def tighten(self, k: int) -> None:
        """Raises what is needed to the k-th best so far, and drops what cannot reach it."""
        self._found = [tightened(joined(self._found), self.need, k)]
        self._held = len(self._found[0].rows)

    def result(self) -> Candidates:
        """The candidates so far, sorted."""
        if self.k is not None:
            self.tighten(self.k)
            return self._found[0]
        return joined(self._found).sorted()

    def add(self, rows: Places, columns: Places, near: Bounds, off: Bounds) -> None:
        """Takes pairs of which the product is near to something, and no farther off than something."""
        self.take(Candidates(rows, columns, near - off, near + off))

    def take(self, candidates: Candidates) -> None:
        """Takes those that may have what is needed."""
        self._found.append(candidates.taken(candidates.most >= self.need[candidates.rows]))
        self._held += len(self._found[-1].rows)

    def _of_interest(self, found: Found) -> tuple[Places, Places, Bounds, Bounds]:
        rows, columns, near, off = (side.cpu().numpy() for side in found)
        if self.wanted is None:
            return rows, columns, near, off
        kept = self.wanted(rows + self.part.start, columns)
        return rows[kept], columns[kept], near[kept], off[kept]

    def _least(self, tile: Tile) -> torch.Tensor:
        """[rows] what is needed, never so little that what fills up the last tile has it."""
        return torch.maximum(torch.from_numpy(self.need).to(tile.lowest.device, torch.float32), tile.lowest)


def joined(parts: Sequence[Candidates]) -> Candidates:
    """All of them."""
    if not parts:
        none = np.empty(0, np.int64), np.empty(0, np.int64)
        return Candidates(*none, np.empty(0, np.float32), np.empty(0, np.float32))
    return Candidates(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.least for part in parts]),
        np.concatenate([part.most for part in parts]),
    )


def tightened(found: Candidates, need: Scores, k: int) -> Candidates:
    """Those that can be among the k best of their rows, sorted.

    Args:
        found: In any order.
        need: [rows] least product that a pair is wanted for; is raised to the k-th best of each row.
        k: How many are wanted.
    """
    found = found.sorted()
    kth = np.flatnonzero(found.ranks() == k - 1)
    need[found.rows[kth]] = np.maximum(need[found.rows[kth]], found.least[kth])
    return found.taken(found.most >= need[found.rows])


def stripe(best: Best, spans: Sequence[Span], depth: Depth) -> Candidates:
    """The candidates of some rows.

    Args:
        best: Empty.
        spans: The columns; see Product.tiles.
        depth: Is kept from stripe to stripe.
    """
    for span in spans:
        while depth.level and not best.partly(span, depth.level):
            depth.failed()
        if not depth.level:
            best.whole(span)
    return best.result()

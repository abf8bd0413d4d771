"""The best columns of rows by caps: those around a row's own cap tell what it needs, most others cannot give it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.candidates import Candidates
from st_spark.topk.clusters import ROWS, SHELLS, Caps, product
from st_spark.topk.products import factors
from st_spark.topk.quantized import Codes, pieces, scaled
from st_spark.topk.scores import Matrix, Places, Scores

# Columns for each of the k wanted that tell at first what a row needs, and rows that meet a shell at a time.
_FIRST, _MET = 6, 4096
_TINY = np.finfo(np.float64).tiny
_NONE = Candidates.joined([])
# Where this share of the rows looks into a shell, it takes no more time that all do.
_WIDE = 0.25


class Nearby:
    """Looks for the k best columns of some rows, or for all that give what is needed; and for rows of columns.

    Args:
        caps: The columns.
        left: [n, d] vectors.
        k: How many, or None for all.
        need: [n] least product that a pair is wanted for; -inf for all.
        back: [m] the same of the columns, in the order of the caps, where their k best rows are wanted, too.

    Attributes:
        order: [n] the row that comes first in what is found, and so on; columns come in the order of the caps.
        need: [n] least product that a pair is wanted for, in that order, as far as it is known.
        back: [m] the same of columns; None where no rows are wanted for them.
    """

    def __init__(self, caps: Caps, left: Matrix, k: int | None, need: Scores, back: Scores | None = None) -> None:
        self.caps, self.left = caps, left
        self.factors = factors(left, caps.score)
        rows = caps.gathered(left, self.factors)
        self.order, self.codes, self._starts, self._own = rows.order, rows.codes, rows.starts, rows.own
        self._buffer = torch.empty((min(_MET, len(left)), left.shape[1]), dtype=rows.codes.codes.dtype)
        self.need = need[rows.order].astype(np.float64)
        self.back = None if back is None else back.copy()
        # What columns of each shell need at least; and how many shells of each cap are looked into here.
        self._least, self._narrow = None, np.full(caps.count, SHELLS)
        if k is not None:
            self._raise_needs(k)
            self._least = None if self.back is None else self._least_of_shells(self.back)
            some = np.random.default_rng(6).permutation(len(left))[:ROWS]
            self._narrow = (self._shares(some).reshape(-1, SHELLS) < _WIDE).sum(axis=1)

    def cost(self) -> float:
        """About the share of the time of all products that it takes to multiply what may be good enough."""
        narrow = np.arange(SHELLS) < self._narrow[:, None]
        time = np.where(narrow.ravel(), self._shares(slice(None)) / _WIDE, 1.0)
        return float(time @ np.diff(self.caps.shells)) / len(self.caps.rows.order)

    def wide(self) -> Places:
        """Columns of shells that so many rows would look into that all better meet all of them elsewhere.

        In the order of the caps; they have no candidates here.
        """
        counts = np.diff(self.caps.shells).reshape(-1, SHELLS) * (np.arange(SHELLS) >= self._narrow[:, None])
        return np.flatnonzero(np.repeat(counts.ravel() > 0, np.diff(self.caps.shells)))

    def candidates(self) -> tuple[Candidates, Candidates]:
        """What can be among the k best or have what is needed: columns of rows, and rows of columns."""
        rows, shells = self._looks()
        ends = np.concatenate(([0], np.cumsum(np.bincount(shells, minlength=len(self.caps.shells) - 1))))
        rows = rows[np.argsort(shells, kind="stable")]  # those of one cap by the first shell that they look into
        parts: list[tuple[Candidates, Candidates]] = []
        for cap in np.flatnonzero(np.diff(ends[::SHELLS])).tolist():
            places = slice(cap * SHELLS, cap * SHELLS + int(self._narrow[cap]) + 1)
            parts += self._in_cap(rows, ends[places].tolist(), self.caps.shells[places].tolist())
        return Candidates.joined([ours for ours, _ in parts]), Candidates.joined([theirs for _, theirs in parts])

    def _in_cap(self, rows: Places, ends: list[int], shells: list[int]) -> Iterator[tuple[Candidates, Candidates]]:
        """What rows find in the shells of a cap: those before the end of a shell look into it."""
        for some in pieces(ends[-1] - ends[0], _MET):
            wanted = rows[ends[0] + some.start : ends[0] + some.stop]
            ours = self.codes.taken(wanted, self._buffer)
            for end, start, stop in zip(ends[1:], shells, shells[1:], strict=False):
                count = min(end - ends[0] - some.start, len(wanted))
                if count > 0 and start < stop:
                    yield self._found(wanted[:count], ours, slice(start, stop))

    def _looks(self) -> tuple[Places, npt.NDArray[Any]]:
        """For each row and each cap that it looks into the row, and the first shell there, counted over all caps."""
        kind = np.uint16 if len(self.caps.shells) <= 1 << 16 else np.int64
        found = []
        for part in pieces(len(self.order), ROWS):
            opened = self._opened(part)
            row, cap = np.divmod(np.flatnonzero(opened < SHELLS), self.caps.count)
            found.append((row + part.start, (cap * SHELLS + opened[row, cap]).astype(kind)))
        rows, shells = (np.concatenate(side) for side in zip(*found, strict=True))
        return rows, shells

    def _raise_needs(self, k: int) -> None:
        """To the k-th best of the columns in and beside the cap of each row; in float32, for these are few.

        And of columns to the k-th best of the rows that are nearest to the caps there.
        """
        for place in np.flatnonzero(np.diff(self._starts)).tolist():
            columns = self.caps.around(place, _FIRST * k)
            y = scaled(self.caps.right, self.caps.factors, self.caps.rows.order[columns])
            lengths = self.caps.rows.codes.lengths[columns]
            first, stop = self._starts[place : place + 2].tolist()
            for part in pieces(stop - first, ROWS):
                rows = slice(first + part.start, first + part.stop)
                x = scaled(self.left, self.factors, self.order[rows])
                products, ours = x @ y.t(), self.codes.lengths[rows]
                if y.shape[0] >= k:
                    self._raise(self.need[rows], products, k, ours * lengths.max())
                if self.back is not None and len(x) >= k:
                    self._raise(self.back[columns], products.t(), k, lengths * ours.max())

    def _raise(self, need: Scores, products: torch.Tensor, k: int, most: Scores) -> None:
        """Raises what is needed, in its place, to the k-th best product, which is at most so large."""
        kth = products.topk(k, dim=1).values[:, -1].double().numpy()
        kth -= self.caps.rounding * most + _TINY
        np.maximum(need, kth, out=need)

    def _opened(self, part: slice | Places) -> npt.NDArray[np.uint8]:
        """[part, caps] see Caps.opened."""
        opened = self.caps.opened(self.codes, part, self._own[part], self.need[part], self._least)
        return np.where(opened < self._narrow, opened, SHELLS).astype(np.uint8)

    def _least_of_shells(self, back: Scores) -> Scores:
        """[caps * shells] the least that any column of a shell needs; of no columns infinity."""
        least = np.minimum.reduceat(np.append(back, np.inf), self.caps.shells[:-1])
        return np.where(np.diff(self.caps.shells) == 0, np.inf, least)

    def _shares(self, part: slice | Places) -> Scores:
        """[caps * shells] the share of some rows that look into each shell."""
        opened = self._opened(part)
        return np.stack([(opened <= shell).mean(axis=0) for shell in range(SHELLS)], axis=1).ravel()

    def _found(self, rows: Places, ours: Codes, columns: slice) -> tuple[Candidates, Candidates]:
        """The pairs of some rows (the first of some codes) and columns that can be good enough for either."""
        theirs, some = self.caps.rows.codes, slice(0, len(rows))
        values = product(ours.codes[some], theirs.codes[columns])
        near = torch.mul(values, self.caps.scales[columns]).numpy()
        # What float32 rounds here, this has room for.
        relative = self.caps.rounding
        off, scale = _off(ours, some, theirs, columns, relative), ours.scales[some]
        which, place = _reaching(near, ((self.need[rows] - off) / scale)[:, None])
        value = near[which, place].astype(np.float64) * scale[which]
        found = Candidates.near(rows[which], place + columns.start, value, off[which])
        if self.back is None:
            return found, _NONE
        near *= scale[:, None].astype(np.float32)
        off = _off(theirs, columns, ours, some, relative)
        which, place = _reaching(near, self.back[columns] - off)
        value = near[which, place].astype(np.float64)
        return found, Candidates.near(place + columns.start, rows[which], value, off[place])


def _reaching(values: npt.NDArray[np.float32], least: Scores) -> tuple[Places, Places]:
    """The rows and columns of those that are no less than something, as far as float32 tells."""
    least = np.nextafter(least.astype(np.float32), np.float32(-np.inf))
    which, place = np.divmod(np.flatnonzero(values >= least), values.shape[1])
    return which, place


def _off(one: Codes, ours: slice | Places, other: Codes, theirs: slice | Places, relative: float) -> Scores:
    """[ours] how far off a product with any of theirs can be."""
    longest, worst = other.lengths[theirs].max(), other.errors[theirs].max()
    return np.asarray(one.errors[ours] * (longest + worst) + one.lengths[ours] * (worst + longest * relative))

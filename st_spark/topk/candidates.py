"""Pairs that may be among the k best of their rows: possibly too many, never too few."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from st_spark.topk.pairs import Columns, Pairs, ranks
from st_spark.topk.scores import Places, Rescorer, Scores

# Candidates for each wanted pair that are held before thresholds are raised.
_FEW_TIMES = 4


@dataclass(frozen=True)
class RowMapping:
    """Maps the rows and columns of a search to rows of the two matrices."""

    rescore: Rescorer  # Computes exact values of pairs of the two matrices
    rows: Places  # [rows] matrix row of each row of the search
    columns: Places  # [columns] matrix row of each column of the search
    swapped: bool = False  # Whether the rows belong to the right matrix

    def values(self, rows: Places, columns: Places) -> Scores:
        """Return the exact values of pairs."""
        pairs = self.rows[rows], self.columns[columns]
        return self.rescore(*(pairs[::-1] if self.swapped else pairs))


@dataclass(frozen=True)
class Candidates(Columns):
    """Pairs with bounds on their values. Where both bounds are equal, they are the exact value."""

    rows: Places  # [pairs] row
    columns: Places  # [pairs] column
    lower: Scores  # [pairs] the value is at least this
    upper: Scores  # [pairs] the value is at most this


class TopKCollector:
    """Collects candidates for the k best pairs of each row.

    The threshold of a row is the lowest value that is wanted, minus infinity for any. It rises during the search,
    whenever there are a few times as many candidates as wanted pairs. Memory holds at most `max_held` candidates.
    """

    def __init__(self, k: int, thresholds: Scores, mapping: RowMapping, max_held: int) -> None:
        self.k, self.thresholds, self.mapping = k, thresholds.copy(), mapping
        self.fresh = np.ones(len(thresholds), np.bool_)  # whether no product of a row has raised its threshold yet
        self._max_held, self._limit = max_held, min(_FEW_TIMES * k * len(thresholds), max_held)
        self._parts: list[Candidates] = []
        self._held = 0

    def add(self, found: Candidates, *, rescore: bool = False) -> None:
        """Add candidates. No pair may be added twice.

        `rescore` computes their exact values first, and drops those below the threshold.
        """
        if rescore:
            self._refine(found, np.ones(len(found.rows), np.bool_))
            found = found.take(found.upper >= self.thresholds[found.rows])
        self._parts.append(found)
        self._held += len(found.rows)
        if self._held > self._limit:
            self.raise_thresholds()
            if self._held > self._max_held // 2:  # the bounds do not tell so many pairs apart
                self._keep_best()
            self._limit = min(max(self._limit, 2 * self._held), self._max_held)

    def raise_thresholds(self, *, refine_all: bool = False) -> None:
        """Raise each threshold to the k-th best value so far, and drop the candidates below it.

        `refine_all` computes the exact values of all candidates, not only of the k best of each row.
        """
        found = Candidates.concat(self._parts)
        found = found.take(found.upper >= self.thresholds[found.rows])
        if refine_all:
            self._refine(found, np.ones(len(found.rows), np.bool_))
        found = found.take(_order(found.rows, found.lower))
        best = ranks(found.rows) < self.k
        self._refine(found, best)
        starts = np.flatnonzero(np.diff(found.rows, prepend=-1))
        enough = np.diff(starts, append=len(found.rows)) >= self.k
        if enough.any():
            worst = np.minimum.reduceat(np.where(best, found.lower, np.inf), starts)[enough]
            rows = found.rows[starts[enough]]
            self.thresholds[rows] = np.maximum(self.thresholds[rows], worst)
        self._keep(found.take(found.upper >= self.thresholds[found.rows]))

    def result(self) -> Pairs:
        """Return the k best pairs of each row and all that tie with the last of them, unsorted, with exact values."""
        self.raise_thresholds()
        self.raise_thresholds(refine_all=True)
        (found,) = self._parts
        return Pairs(self.mapping.rows[found.rows], self.mapping.columns[found.columns], found.lower)

    def _refine(self, found: Candidates, which: npt.NDArray[np.bool_]) -> None:
        """Replace bounds by exact values."""
        places = np.flatnonzero(which & (found.lower < found.upper))
        exact = self.mapping.values(found.rows[places], found.columns[places])
        found.lower[places] = found.upper[places] = exact

    def _keep_best(self) -> None:
        """Keep exactly the k best of each row."""
        self.raise_thresholds(refine_all=True)
        (found,) = self._parts
        found = found.take(np.lexsort((self.mapping.columns[found.columns], -found.lower, found.rows)))
        self._keep(found.take(ranks(found.rows) < self.k))

    def _keep(self, found: Candidates) -> None:
        self._parts, self._held = [found], len(found.rows)


def _order(rows: Places, lower: Scores) -> Places:
    """Return the order by row, then by descending value except for its last bits.

    Row, value and index are packed into one integer. Sorting these is many times faster than an indirect sort.
    """
    row_bits, place_bits = int(rows.max(initial=0)).bit_length(), len(rows).bit_length()
    levels = 2 ** min(63 - row_bits - place_bits, 24) - 1
    low, high = lower.min(initial=0.0), lower.max(initial=0.0)
    if levels < 2**12 or not np.isfinite(high - low):
        return np.lexsort((-lower, rows))
    level = ((high - lower) * (levels / max(high - low, 1e-300))).astype(np.int64)
    np.minimum(level, levels, out=level)  # the product may have been rounded up
    key = ((rows << levels.bit_length()) | level) << place_bits
    key |= np.arange(len(rows))
    return np.sort(key) & ((1 << place_bits) - 1)

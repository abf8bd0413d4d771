"""Pairs that can be among the best of their rows: more than there are, and never fewer."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.pairs import Pairs
from st_spark.topk.scores import Places, Rescorer, Scores

# Candidates that are held before those that have become hopeless are dropped.
_HELD = 1 << 22
Bounds = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pairing:
    """What rows and columns stand for.

    Attributes:
        rescore: Of pairs of rows of two matrices.
        rows: [rows] the row of the left matrix that a row is; of the right one if `turned`.
        columns: [columns] the row of the other one that a column is.
        turned: Whether rows are those of the right matrix.
    """

    rescore: Rescorer
    rows: Places
    columns: Places
    turned: bool = False

    def about(self, rows: Places, columns: Places) -> tuple[Scores, Scores]:
        """See Rescorer.about."""
        return self.rescore.about(*self._places(rows, columns))

    def pairs(self, rows: Places, columns: Places) -> Pairs:
        """Pairs with their float64 scores."""
        return Pairs(self.rows[rows], self.columns[columns], self.rescore(*self._places(rows, columns)))

    def _places(self, rows: Places, columns: Places) -> tuple[Places, Places]:
        ours, theirs = self.rows[rows], self.columns[columns]
        return (theirs, ours) if self.turned else (ours, theirs)


@dataclass(frozen=True)
class Candidates:
    """Pairs.

    Attributes:
        rows: [pairs] row.
        columns: [pairs] column.
        least: [pairs] no less than this is the value of the pair.
        most: [pairs] no more than this.
        known: [pairs] whether these bounds are as near as another look would bring them.
    """

    rows: Places
    columns: Places
    least: Bounds
    most: Bounds
    known: npt.NDArray[np.bool_]

    @staticmethod
    def near(rows: Places, columns: Places, value: Scores, off: Scores, *, known: bool = False) -> "Candidates":
        """Pairs with a value that is near to something, and no farther off than something."""
        least, most = (value - off).astype(np.float32), (value + off).astype(np.float32)
        # Float32 may have rounded to the wrong side.
        down, up = np.nextafter(least, np.float32(-np.inf)), np.nextafter(most, np.float32(np.inf))
        return Candidates(rows, columns, down, up, np.full(len(rows), known))

    @staticmethod
    def joined(parts: "Sequence[Candidates]") -> "Candidates":
        """All of them."""
        none, nothing = np.empty(0, np.int64), np.empty(0)
        parts = parts or [Candidates.near(none, none, nothing, nothing)]
        names = [each.name for each in fields(Candidates)]
        return Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def taken(self, which: "npt.NDArray[np.generic] | slice") -> "Candidates":
        """Some of them."""
        return Candidates(*(getattr(self, each.name)[which] for each in fields(self)))

    def sorted(self) -> "Candidates":
        """Row by row, those with the largest least value first, as nearly as some bits tell."""
        return self.taken(_order(self.rows, self.least))

    def starts(self) -> Places:
        """Where the pairs of each row begin, of sorted ones."""
        return np.flatnonzero(np.diff(self.rows, prepend=-1))

    def ranks(self) -> Places:
        """[pairs] place of each in its row, from 0, of sorted ones."""
        starts = self.starts()
        return np.arange(len(self.rows)) - np.repeat(starts, np.diff(starts, append=len(self.rows)))


class Best:
    """Collects what can be among the k best of each of some rows.

    Args:
        k: How many are wanted.
        need: [rows] least value that a pair is wanted for; -inf for all. It is raised here.
        pairing: The pairs of rows and columns.
    """

    def __init__(self, k: int, need: Scores, pairing: Pairing) -> None:
        self.k, self.need, self.pairing = k, need, pairing
        self._found: list[Candidates] = []
        self._held = 0

    def add(self, found: Candidates) -> None:
        """Takes pairs."""
        self._found.append(found)
        self._held += len(found.rows)
        if self._held > _HELD:
            self.tighten()
            if self._held > _HELD // 2:  # so many are alike that bounds do not tell them apart
                self._settle()

    def tighten(self, *, look: int | None = None) -> None:
        """Raises what is needed to the k-th best so far, and drops what cannot reach it.

        Args:
            look: How many of each row are looked at again, the vectors themselves: the k best by default.
        """
        found = Candidates.joined(self._found).sorted()
        found = found.taken(found.most >= self.need[found.rows])
        head = found.ranks() < (look or self.k)
        self._look(found, head & ~found.known)
        starts = found.starts()
        enough = np.diff(starts, append=len(found.rows)) >= self.k
        if enough.any():
            best = head if look is None else found.ranks() < self.k
            worst = np.minimum.reduceat(np.where(best, found.least, np.inf), starts)[enough]
            rows = found.rows[starts[enough]]
            self.need[rows] = np.maximum(self.need[rows], worst)
        self._keep(found.taken(found.most >= self.need[found.rows]))

    def result(self) -> Pairs:
        """The k best of each row, and what nearly ties with the last of them; by their places in the two matrices."""
        self.tighten()
        if not self._found[0].known.all():
            self.tighten(look=self._held + 1)
            self.tighten()
        (found,) = self._found
        return self.pairing.pairs(found.rows, found.columns)

    def _settle(self) -> None:
        """Keeps the k best of each row alone."""
        self.tighten(look=self._held + 1)
        (found,) = self._found
        pairs = self.pairing.pairs(found.rows, found.columns)
        order = np.lexsort((pairs.right, -pairs.score, found.rows))
        found = found.taken(order)
        self._keep(found.taken(found.ranks() < self.k))

    def _look(self, found: Candidates, which: npt.NDArray[np.bool_]) -> None:
        places = np.flatnonzero(which)
        rows, columns = found.rows[places], found.columns[places]
        known = Candidates.near(rows, columns, *self.pairing.about(rows, columns))
        found.least[places], found.most[places], found.known[places] = known.least, known.most, True

    def _keep(self, found: Candidates) -> None:
        self._found = [found]
        self._held = len(found.rows)


def _order(rows: Places, least: Bounds) -> Places:
    """Places by rows, and for each by descending values, but for the last bits of these.

    Row, value and place in one number, which sorts many times faster than places by what stands at them.
    """
    count = max(len(rows), 1)
    row_bits, place_bits = int(rows.max(initial=0)).bit_length(), count.bit_length()
    levels = 2 ** min(63 - row_bits - place_bits, 24) - 1
    low, high = (float(function(least, initial=0.0)) for function in (np.min, np.max))
    if levels < 2**12 or not np.isfinite(high - low):
        return np.lexsort((-least, rows))
    value = ((high - least) * np.float32(levels / max(high - low, 1e-30))).astype(np.int64)
    np.minimum(value, levels, out=value)  # float32 may have rounded up
    key = ((rows << levels.bit_length()) | value) << place_bits
    key |= np.arange(len(rows))
    return torch.from_numpy(key).sort().values.numpy() & ((1 << place_bits) - 1)

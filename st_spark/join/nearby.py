"""The k best columns of rows by caps: those of the nearest cap tell what a row needs, most others cannot give it."""

import numpy as np
import torch

from st_spark.join.candidates import Candidates, joined, tightened
from st_spark.join.caps import SHELLS, Caps, pieces, product
from st_spark.join.codes import fastest, scaled
from st_spark.join.products import factors
from st_spark.join.scores import Scores
from st_spark.join.vectors import Matrix

# Columns for each of the k wanted that tell at first what a row needs.
_FIRST = 6
# Rows that are held against all caps at a time.
_OPENED = 512
# Fewer rows or columns are met without caps; so are columns of which the k best are a large share.
_LEFT, _RIGHT, _MANY = 4096, 8192, 64
# Rows of the trial, and the share of pairs that may be left for caps to pay: their small products are far slower than
# large ones.
_TRIED, _SHARE = 256, 0.1


def caps_for(left: Matrix, right: Matrix, k: int | None, score: str, need: Scores) -> Caps | None:
    """The caps of the columns; None where meeting by caps would cost more than it saves.

    Args:
        left: [n, d] vectors.
        right: [m, d] vectors.
        k: How many are wanted of each row; None for all with the score that is needed.
        score: One of vectors.SCORES.
        need: [n] least score that a pair is wanted for.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    few = len(left) < _LEFT or len(right) < max(_RIGHT, _MANY * (k or 0))
    # Of euclidean products are no scores; CUDA multiplies all in less time than many small products take.
    if few or score == "euclidean" or device.type == "cuda":
        return None
    caps = Caps(right, score, fastest(device))
    tried = np.random.default_rng(2).permutation(len(left))[:_TRIED]
    trial = Nearby(caps, left[tried], k, need[tried])
    return caps if trial.share() <= _SHARE else None


class Nearby:
    """Looks for the k best columns of some rows, or for all that give what is needed.

    Args:
        caps: The columns.
        left: [n, d] vectors.
        k: How many, or None for all.
        need: [n] least product that a pair is wanted for; -inf for all.

    Attributes:
        order: [n] the row that comes first in what is found, and so on; columns come in the order of the caps.
    """

    def __init__(self, caps: Caps, left: Matrix, k: int | None, need: Scores) -> None:
        self.caps, self.k, self.left = caps, k, left
        self.factors = factors(left, caps.score)
        rows = caps.gathered(left, self.factors)
        self.order, self.codes, self._starts = rows.order, rows.codes, rows.starts
        self.need = torch.from_numpy(need[rows.order]).float()
        codes = self.codes
        sides = codes.scales, codes.lengths, codes.errors
        self._scales, self._lengths, self._errors = (torch.from_numpy(side).float() for side in sides)
        if k is not None:
            self._raise_need(k)

    def share(self) -> float:
        """The share of all pairs that may be good enough."""
        sizes = torch.from_numpy(np.diff(self.caps.rows.starts)).float() / SHELLS
        found = self._open(slice(None)).float().sum(dim=1) @ sizes
        return float(found / sizes.sum()) / SHELLS / len(self.order)

    def candidates(self) -> Candidates:
        """What can be among the k best or have what is needed, sorted."""
        shells_open = torch.cat([self._open(part) for part in pieces(len(self.order), _OPENED)], dim=1)
        found = []
        for place, opened in enumerate(shells_open):
            rows = opened.nonzero()[:, 0]
            level = opened.index_select(0, rows)
            for shell, columns in enumerate(self.caps.shells(place)):
                wanted = rows[level >= SHELLS - shell] if columns.start < columns.stop else rows[:0]
                found += [self._found(wanted[part], columns) for part in pieces(len(wanted))]
        if self.k is None:
            return joined(found).sorted()
        return tightened(joined(found), self.need.double().numpy(), self.k)

    def _raise_need(self, k: int) -> None:
        """To the k-th best of the columns in and beside the cap of each row; in float32, for these are few."""
        for place in np.flatnonzero(np.diff(self._starts)).tolist():
            columns = self.caps.around(place, _FIRST * k)
            if columns.stop - columns.start < k:
                continue
            y = scaled(self.caps.right, self.caps.factors, self.caps.rows.order[columns])
            longest = float(self.caps.rows.codes.lengths[columns].max())
            first, stop = self._starts[place : place + 2].tolist()
            for part in pieces(stop - first):
                rows = slice(first + part.start, first + part.stop)
                kth = (self._vectors(rows) @ y.t()).topk(k, dim=1).values[:, -1]
                kth -= self.caps.rounding * longest * self._lengths[rows] + 1e-12
                self.need[rows] = torch.maximum(self.need[rows], kth)

    def _open(self, part: slice) -> torch.Tensor:
        """[caps, rows] see Caps.open."""
        return self.caps.open(self._vectors(part), self._lengths[part], self.need[part])

    def _vectors(self, part: slice) -> torch.Tensor:
        return scaled(self.left, self.factors, self.order[part])

    def _found(self, rows: torch.Tensor, columns: slice) -> Candidates:
        """The pairs of some rows and columns that can be good enough."""
        near, off = self._near(rows, columns)
        which, place = (near >= (self.need[rows] - off)[:, None]).nonzero(as_tuple=True)
        value, room = near[which, place].numpy(), off[which].numpy()
        return Candidates(rows[which].numpy(), place.numpy() + columns.start, value - room, value + room)

    def _near(self, rows: torch.Tensor, columns: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """[rows, columns] products of codes, and [rows] how far off they can be."""
        theirs = self.caps.rows.codes
        values = product(self.codes.codes.index_select(0, rows), theirs.codes[columns])
        near = torch.mul(values, self.caps.scales[columns]).mul_(self._scales[rows, None])
        longest, worst = float(theirs.lengths[columns].max()), float(theirs.errors[columns].max())
        lengths, errors = self._lengths[rows], self._errors[rows]
        relative = self.caps.rounding + (2.0**-8 if values.dtype == torch.bfloat16 else 0.0)
        off = errors * (longest + worst) + lengths * (worst + longest * relative) + 1e-12
        return near, off

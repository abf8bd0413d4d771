"""Caps: groups of columns around a direction, most of which a row can leave out, for nothing there can be good enough.

With y = b c + r for the direction c of a cap, x y is at most a b + |x - a c| |r|, where a = x c: the product of a row
with each direction tells how much any column of a cap can give. Rows that may find something in a cap are brought
together and multiplied with it. Where vectors are clustered, few pairs are left; where they are not, rows could find
something everywhere, and a trial with some of them says so.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.codes import Codes, Plan, encoded, scaled
from st_spark.join.pivots import pivots_of
from st_spark.join.products import factors
from st_spark.join.scores import Places, Scores
from st_spark.join.vectors import Matrix

# Rows of one product, and shells of a cap.
_ROWS, SHELLS = 2048, 3


@dataclass(frozen=True)
class Rows:
    """Rows by the cap that they are nearest to.

    Attributes:
        codes: Of the rows in that order.
        order: [n] the row that comes first, and so on.
        starts: [caps + 1] where the rows of each cap begin.
    """

    codes: Codes
    order: Places
    starts: Places


class Caps:
    """The columns of a join by caps, and in each by how far they lie from its direction: in shells of equal size.

    Args:
        right: [m, d] vectors.
        score: "cosine" or "dot".
        dtype: Format of the codes.

    Attributes:
        factors: [m] what the columns are multiplied by before.
        rows: The columns, in each cap from its direction outward.
        scales: [m] float32, of their codes.
        directions: [caps, d] float32 of length 1.
        rounding: What float32 rounds away of a product, as a share of the lengths, with room.
    """

    def __init__(self, right: Matrix, score: str, dtype: torch.dtype) -> None:
        self.right, self.score = right, score
        self.factors = factors(right, score)
        self.rounding = 2.0**-22 * (right.shape[1] + 16)
        codes, _ = encoded(right, Plan(np.arange(len(right)), self.factors), dtype)
        drawn = pivots_of(right, self.factors, round(4 * math.sqrt(len(right))))
        cap = _nearest(codes, drawn)
        self.directions = _means(right, self.factors, cap, drawn)
        along = np.empty(len(right))
        for part in pieces(len(right)):
            x = scaled(right, self.factors, part).numpy()
            along[part] = np.einsum("ij,ij->i", x, self.directions.numpy()[cap[part]])
        aside = np.sqrt(np.maximum(codes.lengths**2 - along**2, 0) + self.rounding * codes.lengths**2)
        order = np.lexsort((aside, cap))
        self.rows = Rows(codes.taken(order), order, _starts(cap, self.count))
        self.scales = torch.from_numpy(self.rows.codes.scales).float()
        self._longest = float(codes.lengths.max())
        ends = self.rows.starts[:-1] + np.diff(self.rows.starts) * (np.arange(SHELLS) + 1)[:, None] // SHELLS
        self._ends = np.concatenate((self.rows.starts[None, :-1], ends))
        filled = np.diff(self.rows.starts) > 0
        self._low, self._high = (
            _of_caps(function, along[order], self.rows.starts[:-1], filled) for function in (np.minimum, np.maximum)
        )
        last = aside[order][np.maximum(ends - 1, 0)]
        self._reach = torch.from_numpy(np.where(np.diff(self._ends, axis=0) > 0, last, -np.inf)).float()

    @property
    def count(self) -> int:
        """How many caps there are."""
        return len(self.directions)

    def gathered(self, rows: Matrix, factors: Scores) -> Rows:
        """Other rows by the caps that they are nearest to."""
        codes, _ = encoded(rows, Plan(np.arange(len(rows)), factors), self.rows.codes.codes.dtype)
        cap = _nearest(codes, self.directions)
        order = np.argsort(cap, kind="stable")
        return Rows(codes.taken(order), order, _starts(cap, self.count))

    def around(self, cap: int, least: int) -> slice:
        """The columns of a cap, and those before and after that make at least so many with them."""
        start, stop = self.rows.starts[cap : cap + 2].tolist()
        more = max(least - (stop - start) + 1, 0) // 2
        return slice(max(start - more, 0), min(stop + more, len(self.scales)))

    def shells(self, cap: int) -> list[slice]:
        """The columns of each shell of a cap, from its direction outward."""
        ends = self._ends[:, cap].tolist()
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def open(self, rows: torch.Tensor, lengths: torch.Tensor, need: torch.Tensor) -> torch.Tensor:
        """[caps, rows] uint8: in how many shells of each cap, counted from outside, can be what a row needs.

        Args:
            rows: [rows, d] float32, multiplied by their factors.
            lengths: [rows] bound on their lengths.
            need: [rows] least product that a pair is wanted for.
        """
        along = self.directions @ rows.t()
        squares = lengths.square()
        aside = along.square().neg_().add_(squares).clamp_(min=0).add_(self.rounding * squares).sqrt_()
        most = torch.maximum(along * self._high[:, None], along.mul_(self._low[:, None]))
        # What the rest of a column must give at least.
        rest = most.neg_().add_(need - self.rounding * self._longest * lengths - 1e-12)
        found = torch.zeros(rest.shape, dtype=torch.uint8)
        for reach in self._reach:
            found += torch.mul(aside, reach[:, None], out=along) >= rest
        return found


def _nearest(codes: Codes, directions: torch.Tensor) -> Places:
    if codes.codes.dtype == torch.int8:
        directions = (directions * (127 / directions.abs().max())).round()
    directions = directions.to(codes.codes.dtype)
    found = [product(codes.codes[part], directions) for part in pieces(len(codes.codes))]
    return np.concatenate([np.empty(0, np.int64), *(values.float().numpy().argmax(axis=1) for values in found)])


def _means(rows: Matrix, factors: Scores, cap: Places, directions: torch.Tensor) -> torch.Tensor:
    """The directions of the sums of the rows of each cap; one without rows stays."""
    sums = torch.zeros_like(directions)
    for part in pieces(len(rows)):
        sums.index_add_(0, torch.from_numpy(cap[part]), scaled(rows, factors, part))
    sizes = sums.norm(dim=1, keepdim=True)
    return torch.nn.functional.normalize(torch.where(sizes > 0, sums, directions), dim=1)


def _starts(cap: Places, count: int) -> Places:
    return np.concatenate(([0], np.cumsum(np.bincount(cap, minlength=count))))


def pieces(count: int, size: int = _ROWS) -> list[slice]:
    """Slices of at most so many rows."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def product(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """[rows, columns] products of codes, int32 or as the codes are."""
    return torch._int_mm(rows, columns.t()) if rows.dtype == torch.int8 else rows @ columns.t()


def _of_caps(function: np.ufunc, values: Scores, starts: Places, filled: npt.NDArray[np.bool_]) -> torch.Tensor:
    """[caps] the least or largest of the values of each cap; 0 where it is empty."""
    found = np.zeros(len(filled))
    found[filled] = function.reduceat(values, starts[filled])
    return torch.from_numpy(found).float()

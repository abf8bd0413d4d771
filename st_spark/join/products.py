"""Two sets of vectors, coded and in an order of their own, ready to be multiplied."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.balls import Gathered, gathered
from st_spark.join.codes import GROUP, Plan, encoded, fastest, scaled
from st_spark.join.kmeans import lloyd
from st_spark.join.scores import Places, Scores, lengths
from st_spark.join.tiles import COLUMNS, Product, Span
from st_spark.join.vectors import Matrix

# Float64 scores are off by less than this, relatively.
ROUNDING = 1e-12
# Rows for each pivot, most pivots, rows of the sample that they are made of, and rounds of k-means for it.
_PIVOT, _PIVOTS, _SAMPLE, _ROUNDS = 512, 1024, 8192, 4


@dataclass(frozen=True)
class Sides:
    """A product and what its rows and columns are.

    Attributes:
        product: Of the rows in their orders.
        left_order: [n] the row of the left matrix that comes first in the product, and so on.
        right_order: [m] the same for the right one.
        left_starts: [pivots + 1] where the left rows of each pivot begin in their order.
        right_starts: [pivots + 1] the same for the right ones; their order is that of pivots but for GROUPs of them.
        left_pivots: [n] the pivot of each row, in their order.
        right_pivots: [m] the same for the right ones.
        squares: [n] squared lengths of the left rows, in their order, where products are no scores (euclidean).
    """

    product: Product
    left_order: Places
    right_order: Places
    left_starts: Places
    right_starts: Places
    left_pivots: Places
    right_pivots: Places
    squares: Scores | None = None

    def seeds(self, part: slice) -> Iterator[tuple[slice, list[Span]]]:
        """Some rows cut by their pivots, each with all columns around the same pivot, and some around others."""
        first, last = np.searchsorted(self.left_starts, (part.start, part.stop - 1), side="right") - 1
        for pivot in range(first, last + 1):
            rows = slice(
                max(part.start, int(self.left_starts[pivot])), min(part.stop, int(self.left_starts[pivot + 1]))
            )
            start, end = (int(self.right_starts[place]) for place in (pivot, pivot + 1))
            start, end = start // GROUP * GROUP, min(-(-end // GROUP) * GROUP, len(self.right_order))
            if rows.start < rows.stop and self.right_starts[pivot] < self.right_starts[pivot + 1]:
                yield rows, [(at, min(at + COLUMNS, end)) for at in range(start, end, COLUMNS)]

    def kin(self, rows: Places, columns: Places) -> npt.NDArray[np.bool_]:
        """[pairs] whether both are around the same pivot."""
        return np.asarray(self.left_pivots[rows] == self.right_pivots[columns])

    def strangers(self, rows: Places, columns: Places) -> npt.NDArray[np.bool_]:
        """[pairs] whether they are around different pivots."""
        return ~self.kin(rows, columns)

    def reordered(self, order: Places) -> "Sides":
        """The same with the left rows in another order, of which the pivots are not known any more."""
        ours = self.product.left.taken(order)
        squares = None if self.squares is None else self.squares[order]
        b = self.product
        product = Product(ours, b.right, b.device, b.shift)
        pivots = self.left_pivots[order]
        return replace(self, product=product, left_order=self.left_order[order], left_pivots=pivots, squares=squares)

    def least(self, rows: slice, need: Scores) -> Scores:
        """The least product that gives some rows the scores they need; -inf for -inf."""
        need = lowered(need)
        if self.squares is None:
            return need
        # |x - y| <= r where x y - y y / 2 >= (x x - r r) / 2.
        squares = self.squares[rows]
        least = np.where(need > 0, np.inf, (squares - need * need) / 2 - ROUNDING * squares)
        return np.where(np.isneginf(need), -np.inf, least)


def lowered(need: Scores) -> Scores:
    """Needed scores less what rounding may take from float64 ones; -inf stays."""
    return np.asarray(need - np.abs(np.where(np.isfinite(need), need, 0.0)) * ROUNDING - ROUNDING)


def factors(rows: Matrix, score: str) -> npt.NDArray[np.float64]:
    """[n] what each row is multiplied by, so that products are scores: 1 / length for cosine."""
    return 1 / lengths(rows) if score == "cosine" else np.ones(len(rows))


def sides(left: Matrix, right: Matrix, score: str, *, same: bool = False) -> Sides:
    """Codes of both sides, neighbours together.

    Args:
        left: [n, d], not empty.
        right: [m, d], not empty.
        score: One of vectors.SCORES.
        same: Both sides are the same rows, and shall be in the same order.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    multiplied = [factors(side, score) for side in (left, right)]
    sample = np.random.default_rng(0).permutation(len(right))[:_SAMPLE]
    drawn = scaled(right, multiplied[1], sample)
    pivots = lloyd(drawn, drawn[: min(-(-len(right) // _PIVOT), _PIVOTS)], _ROUNDS, score)
    columns = gathered(right, pivots)
    rows = columns if same else gathered(left, pivots)
    if score == "euclidean":
        return _euclidean(left, right, rows, columns, device)
    dtype = fastest(device)
    basis = _basis(drawn) if len(right) > COLUMNS else None
    codes, order = encoded(right, Plan(columns.order, multiplied[1], dtype == torch.int8, basis), dtype)
    ours, _ = encoded(left, Plan(order if same else rows.order, multiplied[0], False, basis), dtype)
    left_order = order if same else rows.order
    pivots_of = rows.pivots[left_order], columns.pivots[order]
    return Sides(Product(ours, codes, device), left_order, order, rows.starts, columns.starts, *pivots_of)


def _basis(sample: torch.Tensor) -> torch.Tensor:
    """[d, d] the principal directions of a sample, the widest first, so that the first values say most."""
    x = sample.double()
    return torch.linalg.eigh(x.T @ x).eigenvectors.flip(1).float()


def _euclidean(left: Matrix, right: Matrix, rows: Gathered, columns: Gathered, device: torch.device) -> Sides:
    """Products x y - y y / 2, around the mean, where the numbers are small; in float32, for they vary in size."""
    center = right.mean(axis=0, dtype=np.float64)
    x, y = left - center, right - center
    shift = torch.from_numpy(-(y * y).sum(axis=1) / 2)[columns.order].float()
    ours, theirs = (
        encoded(side, Plan(order, np.ones(len(side))), torch.float32)[0]
        for side, order in ((x, rows.order), (y, columns.order))
    )
    squares = (x * x).sum(axis=1)[rows.order]
    product = Product(ours, theirs, device, shift)
    pivots_of = rows.pivots[rows.order], columns.pivots[columns.order]
    return Sides(product, rows.order, columns.order, rows.starts, columns.starts, *pivots_of, squares)

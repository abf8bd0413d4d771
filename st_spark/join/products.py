"""Two sets of vectors, coded and in an order of their own, ready to be multiplied."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.codes import encoded, fastest, largest
from st_spark.join.scores import Places, Scores, lengths
from st_spark.join.tiles import COLUMNS, Product
from st_spark.join.vectors import Matrix

# Float64 scores are off by less than this, relatively.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Sides:
    """A product and what its rows and columns are.

    Attributes:
        product: Of the rows in their orders.
        left_order: [n] the row of the left matrix that comes first in the product, and so on.
        right_order: [m] the same for the right one.
        squares: [n] squared lengths of the left rows, in their order, where products are no scores (euclidean).
    """

    product: Product
    left_order: Places
    right_order: Places
    squares: Scores | None = None

    def least(self, rows: slice, need: Scores) -> Scores:
        """The least product that gives some rows the scores they need; -inf for -inf."""
        need = need - np.abs(np.where(np.isfinite(need), need, 0.0)) * ROUNDING - ROUNDING
        if self.squares is None:
            return need
        # |x - y| <= r where x y - y y / 2 >= (x x - r r) / 2.
        squares = self.squares[rows]
        least = np.where(need > 0, np.inf, (squares - need * need) / 2 - ROUNDING * squares)
        return np.where(np.isneginf(need), -np.inf, least)


def factors(rows: Matrix, score: str) -> npt.NDArray[np.float64]:
    """[n] what each row is multiplied by, so that products are scores: 1 / length for cosine."""
    return 1 / lengths(rows) if score == "cosine" else np.ones(len(rows))


def sides(left: Matrix, right: Matrix, score: str, left_order: Places | None, right_order: Places | None) -> Sides:
    """Codes of both sides.

    Args:
        left: [n, d], not empty.
        right: [m, d], not empty.
        score: One of vectors.SCORES.
        left_order: [n], or None for as they stand.
        right_order: [m], or None for what lets the thresholds of a search for the best rise soon.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = np.arange(len(left)) if left_order is None else left_order
    columns = np.random.default_rng(0).permutation(len(right)) if right_order is None else right_order
    if score == "euclidean":
        return _euclidean(left, right, rows, columns, device)
    dtype = fastest(device)
    scaled = [factors(side, score) for side in (left, right)]
    tops = [largest(side, factor) for side, factor in zip((left, right), scaled, strict=True)]
    if dtype == torch.int8 and right_order is None:  # neighbours, which share a scale, should be of about one size
        columns = columns[np.argsort(tops[1][columns], kind="stable")]
    shared = _shared(tops[1][columns])
    codes = encoded(left, rows, scaled[0], tops[0][rows], dtype), encoded(right, columns, scaled[1], shared, dtype)
    return Sides(Product(*codes, device), rows, columns)


def _shared(tops: Scores) -> Scores:
    """The largest of each COLUMNS neighbours, for all of them."""
    groups = np.maximum.reduceat(tops, np.arange(0, len(tops), COLUMNS))
    return np.repeat(groups, COLUMNS)[: len(tops)]


def _euclidean(left: Matrix, right: Matrix, rows: Places, columns: Places, device: torch.device) -> Sides:
    """Products x y - y y / 2, around the mean, where the numbers are small; in float32, for they vary in size."""
    center = right.mean(axis=0, dtype=np.float64)
    x, y = left - center, right - center
    shift = torch.from_numpy(-(y * y).sum(axis=1) / 2)[columns].float()
    codes = [
        encoded(side, order, np.ones(len(side)), np.ones(len(side)), torch.float32)
        for side, order in ((x, rows), (y, columns))
    ]
    return Sides(Product(codes[0], codes[1], device, shift), rows, columns, (x * x).sum(axis=1)[rows])

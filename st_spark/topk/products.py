"""Two sets of vectors, coded and in an order of their own, ready to be multiplied.

Whatever the score is, the value of a pair is x' y' + a(x) + b(y), and orders as the score does: x' and y' stand around
a middle, where numbers are small and few bits say more of them. a and b make up for it. For cosine rows are of length
1 first; for euclidean the value is minus half the square of the distance.
"""

from dataclasses import dataclass

import numpy as np
import torch

from st_spark.hardware import fastest
from st_spark.topk.quantized import Codes, Plan, encoded
from st_spark.topk.scores import Matrix, Places, Rescorer, Scores, lengths

# Float64 scores are off by less than this, relatively.
ROUNDING = 1e-12
# The share of its rows' squares that the square of a mean must have to be taken from them.
_MEAN = 0.1
_HELD = 4096


@dataclass(frozen=True)
class Side:
    """One side of a product, in its order.

    Attributes:
        matrix: [n, d] the rows as they came.
        plan: How they are coded.
        codes: Their codes.
        added: [n] a (or b) of each.
        sizes: [n] bound on the length of what was coded, before the middle was taken from it.
    """

    matrix: Matrix
    plan: Plan
    codes: Codes
    added: Scores
    sizes: Scores

    def __len__(self) -> int:
        return len(self.matrix)

    def rows(self, part: slice | Places) -> torch.Tensor:
        """[part, d] some rows in float32."""
        return self.plan.rows(self.matrix, part)


@dataclass(frozen=True)
class Sides:
    """Both sides.

    Attributes:
        left: The rows of the products.
        right: Their columns.
        rescore: Of pairs of rows of the two matrices.
        device: Where to multiply.
    """

    left: Side
    right: Side
    rescore: Rescorer
    device: torch.device


def sides(
    left: Matrix,
    right: Matrix,
    score: str,
    blocks: tuple[Places, Places],
    orders: tuple[Places, Places] | None = None,
    dtype: torch.dtype | None = None,
) -> Sides:
    """Codes of both sides.

    Args:
        left: [n, d], not empty.
        right: [m, d], not empty.
        score: One of vectors.SCORES.
        blocks: Where the blocks of the left and of the right side begin: their rows share a scale.
        orders: Of the rows of both. By default those with the largest values come first, so that rows of a block are
            alike, and large products soon say what others must reach.
        dtype: Of the codes; by default the one that the device multiplies fastest.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or fastest(device)
    scales = [factors(side, score) for side in (left, right)]
    middles = _middles(left, right, scales, score)
    added = _added(left, right, scales, middles, score)
    made = []
    for place, (side, factor, middle, block, plus) in enumerate(
        zip((left, right), scales, middles, blocks, added, strict=True)
    ):
        order, tops = _ordered(side, factor, middle, block, orders[place] if orders else None, dtype)
        codes = encoded(side, plan := Plan(order, factor, middle, tops), dtype)
        more = 0.0 if middle is None else float(np.linalg.norm(middle))
        made.append(Side(side, plan, codes, plus[order], codes.lengths + more))
    return Sides(made[0], made[1], Rescorer(left, right, score), device)


def _ordered(
    rows: Matrix, factor: Scores, middle: Scores | None, block: Places, order: Places | None, dtype: torch.dtype
) -> tuple[Places, Scores | None]:
    """The order of the rows of a side, and the largest value of the block of each, where the codes have a scale."""
    if order is not None and dtype != torch.int8:
        return order, None
    tops = _tops(rows, factor, middle)
    order = np.argsort(-tops, kind="stable") if order is None else order
    highest = np.maximum.reduceat(tops[order], block)
    return order, np.repeat(highest, np.diff(block, append=len(rows)))


def blocks_of(count: int, size: int) -> Places:
    """Where blocks of so many rows begin."""
    return np.arange(0, count, size)


def values(scores: Scores, score: str) -> Scores:
    """Scores as values of pairs."""
    if score != "euclidean":
        return scores
    squares = np.square(scores) / -2
    return np.where(scores > 0, np.inf, squares)  # no distance is below 0


def lowered(need: Scores) -> Scores:
    """Needed scores less what rounding may take from float64 ones; -inf stays."""
    return np.asarray(need - np.abs(np.where(np.isfinite(need), need, 0.0)) * ROUNDING - ROUNDING)


def factors(rows: Matrix, score: str) -> Scores:
    """[n] what each row is multiplied by, so that products are scores: 1 / length for cosine."""
    return 1 / lengths(rows) if score == "cosine" else np.ones(len(rows))


def _middles(left: Matrix, right: Matrix, scales: list[Scores], score: str) -> list[Scores | None]:
    """What is taken from the rows of each side: for euclidean the same."""
    if score == "euclidean":
        middle = right.mean(axis=0, dtype=np.float64)
        return [middle, middle]
    found: list[Scores | None] = []
    for side, factor in zip((left, right), scales, strict=True):
        mean = (factor.astype(side.dtype) @ side).astype(np.float64) / len(side)
        squares = 1.0 if score == "cosine" else np.square(lengths(side)).mean()
        found.append(mean if mean @ mean > _MEAN * squares else None)
    return found


def _added(
    left: Matrix, right: Matrix, scales: list[Scores], middles: list[Scores | None], score: str
) -> tuple[Scores, Scores]:
    """A and b. With u and v taken from x and y, x y = x' y' + (x v - u v) + u y."""
    u, v = middles
    if score == "euclidean":
        assert u is not None
        return _half_squares(left, u), _half_squares(right, u)
    a, b = np.zeros(len(left)), np.zeros(len(right))
    if v is not None:
        a += _times(left, v) * scales[0] - (0.0 if u is None else u @ v)
    if u is not None:
        b += _times(right, u) * scales[1]
    return a, b


def _half_squares(rows: Matrix, middle: Scores) -> Scores:
    """[n] minus half the squared distance of each row from the middle."""
    parts = [np.square(rows[i : i + _HELD] - middle).sum(axis=1) / -2 for i in range(0, len(rows), _HELD)]
    return np.concatenate([np.empty(0), *parts])


def _times(rows: Matrix, vector: Scores) -> Scores:
    """[n] products in float64."""
    return np.concatenate([np.empty(0), *(rows[i : i + _HELD] @ vector for i in range(0, len(rows), _HELD))])


def _tops(rows: Matrix, factor: Scores, middle: Scores | None) -> Scores:
    """[n] the largest value of each row, as it will be coded."""
    if middle is None:
        return np.maximum(rows.max(axis=1), -rows.min(axis=1)) * factor
    plan = Plan(np.arange(len(rows)), factor, middle)
    parts = [plan.rows(rows, slice(i, i + _HELD)).abs().amax(1).numpy() for i in range(0, len(rows), _HELD)]
    return np.concatenate([np.empty(0), *parts])

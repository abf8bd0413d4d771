"""Exact scores in float64. The order of summation is fixed, so equal pairs of vectors tie exactly.

Searches compare *values*. A value orders pairs as the score does: it is the score itself for cosine and dot, and minus
half the squared distance for euclidean.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]  # float32 or float64 [rows, dimension]
Scores = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]  # row numbers

# Float64 scores are off by less than this, relatively.
ROUNDING = 1e-12
# Exponents of two within this range need no rescaling; others are shifted by at most _MAX_SHIFT.
_SAFE_EXPONENT, _MAX_SHIFT = 24, 400
# Float64 values of the pairs that are scored at a time: they stay in cache.
_CACHED_VALUES = 49_152


def exact_scores(x: Matrix, y: Matrix, score: str) -> Scores:
    """Return the score of x[i] with y[i], [n]. More is more similar. For cosine no row has length zero.

    "cosine" is in -1..1, "dot" is the inner product, "euclidean" is minus the distance. Scores are symmetric to the
    last bit, and the same for the same two vectors in any batch: NumPy sums each row pairwise, in an order that depends
    on d alone.
    """
    rows = np.arange(len(x))
    return to_scores(Rescorer(x, y, score)(rows, rows), score)


def row_norms(matrix: Matrix) -> Scores:
    """Return the length of each row, [n]."""
    return np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))


def unit_factors(matrix: Matrix, score: str) -> Scores:
    """Return what each row is multiplied by so that products are scores, [n]: 1 / length for cosine, else 1."""
    return 1 / row_norms(matrix) if score == "cosine" else np.ones(len(matrix))


def scaled_rows(
    matrix: Matrix, factors: Scores, which: Places | slice = slice(None), mean: Scores | None = None
) -> Matrix:
    """Return some rows, each times its factor, minus the mean: [which, d] float32."""
    x = matrix[which] * factors[which, None].astype(matrix.dtype)
    return np.asarray(x if mean is None else x - mean, dtype=np.float32)


def chunks(count: int, size: int) -> list[slice]:
    """Cut `count` rows into slices of at most `size`."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def to_values(scores: Scores, score: str) -> Scores:
    """Return scores as values. No distance is below zero, so a positive euclidean score becomes infinity."""
    return np.where(scores > 0, np.inf, np.square(scores) / -2) if score == "euclidean" else scores


def to_scores(values: Scores, score: str) -> Scores:
    """Return values as scores."""
    return -np.sqrt(-2 * values) if score == "euclidean" else values


def lowest_values(scores: Scores, kind: str) -> Scores:
    """Return the values of scores, minus the rounding of float64."""
    size = np.where(np.isfinite(scores), np.abs(scores), 0)
    return to_values(scores - (size + 1) * ROUNDING, kind)


def rescaled(left: Matrix, right: Matrix, score: str) -> tuple[Matrix, Matrix, float]:
    """Scale both sides so that float32 can hold their squares. Return both, and the factor of their scores.

    All factors are powers of two, so nothing is rounded: one for each row for cosine, one for each side for dot, and
    one for both sides for euclidean.
    """
    peaks = [np.maximum(side.max(axis=1, initial=0.0), -side.min(axis=1, initial=0.0)) for side in (left, right)]
    if score != "cosine":
        peaks = [peak.max(initial=0.0, keepdims=True) for peak in peaks]
    if score == "euclidean":
        peaks = [np.maximum(*peaks)] * 2
    powers = [np.clip(-np.frexp(peak)[1], -_MAX_SHIFT, _MAX_SHIFT) for peak in peaks]
    powers = [np.where(np.abs(power) > _SAFE_EXPONENT, power, 0) for power in powers]
    if not any(power.any() for power in powers):
        return left, right, 1.0
    x, y = (np.ldexp(side, power[:, None]) for side, power in zip((left, right), powers, strict=True))
    exponent = {"cosine": 0, "dot": powers[0].sum() + powers[1].sum(), "euclidean": powers[0].sum()}[score]
    return x, y, 2.0 ** int(exponent)


class Rescorer:
    """Computes exact values of pairs of rows of two matrices. For the score see exact_scores()."""

    def __init__(self, left: Matrix, right: Matrix, score: str) -> None:
        self.left, self.right, self.score = left, right, score
        self._squares = [_sums(side, each := np.arange(len(side)), side, each) for side in (left, right)] * (
            score == "cosine"
        )

    def __call__(self, rows: Places, columns: Places) -> Scores:
        """Return the value of left[rows[i]] with right[columns[i]]."""
        if self.score == "euclidean":
            return _sums(self.left, rows, self.right, columns, distance=True) / -2
        values = _sums(self.left, rows, self.right, columns)
        if self.score == "cosine":  # of a vector with itself exactly 1, because its square is the same sum
            values = np.clip(values / np.sqrt(self._squares[0][rows] * self._squares[1][columns]), -1.0, 1.0)
        return values


def _sums(left: Matrix, rows: Places, right: Matrix, columns: Places, *, distance: bool = False) -> Scores:
    """Sum the products, or the squared differences, of pairs of rows in float64."""
    width = left.shape[1]
    step = max(min(_CACHED_VALUES // max(width, 1), len(rows)), 1)
    x, y, sums = np.empty((step, width)), np.empty((step, width)), np.empty(len(rows))
    for part in chunks(len(rows), step):
        ours, theirs = x[: part.stop - part.start], y[: part.stop - part.start]
        ours[:], theirs[:] = left[rows[part]], right[columns[part]]
        if distance:
            np.square(np.subtract(ours, theirs, out=ours), out=ours)
        else:
            np.multiply(ours, theirs, out=ours)
        sums[part] = ours.sum(axis=1)
    return sums

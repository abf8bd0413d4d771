"""What a score is: float64, summed in one fixed order, so that equal pairs of vectors tie exactly."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from st_spark.join.vectors import Matrix

Scores = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

# Pairs of vectors whose float64 copies are held at a time, in values: they stay in cache.
_VALUES = 1 << 17


def exact_scores(x: Matrix, y: Matrix, score: str) -> Scores:
    """The score of x[i] with y[i]: more is more similar.

    Args:
        x: [n, d] vectors, none of length zero for cosine.
        y: [n, d] vectors.
        score: "cosine", in -1..1; "dot", the inner product; "euclidean", minus the distance.

    Returns:
        [n]. Symmetric to the last bit, and the same for the same two vectors wherever they stand: NumPy sums the
        products of each row pairwise, in an order that only d decides.
    """
    same = np.arange(len(x))
    return Rescorer(x, y, score)(same, same)


def lengths(rows: Matrix) -> Scores:
    """[n] the length of each row."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))


class Rescorer:
    """exact_scores of many pairs of rows of two matrices.

    Args:
        left: [n, d] vectors.
        right: [m, d] vectors.
        score: See exact_scores.
    """

    def __init__(self, left: Matrix, right: Matrix, score: str) -> None:
        self.left, self.right, self.score = left, right, score
        if score == "cosine":
            self.squares = [_squares(side) for side in (left, right)]

    def __call__(self, rows: Places, columns: Places) -> Scores:
        """The score of left[rows[i]] with right[columns[i]]."""

        def part_of(part: slice) -> Scores:
            i, j = rows[part], columns[part]
            if self.score == "euclidean":
                difference = self.left[i].astype(np.float64) - self.right[j]
                return -np.sqrt((difference * difference).sum(axis=1))
            sums = _sums(self.left[i], self.right[j])
            if self.score == "dot":
                return sums
            # Of a vector with itself exactly its square, so that the cosine is exactly 1.
            return np.clip(sums / np.sqrt(self.squares[0][i] * self.squares[1][j]), -1.0, 1.0)

        return _by_parts(part_of, len(rows), self.left.shape[1])


def _sums(x: Matrix, y: Matrix) -> Scores:
    products = x.astype(np.float64)
    products *= y
    return np.asarray(products.sum(axis=1))


def _squares(rows: Matrix) -> Scores:
    return _by_parts(lambda part: _sums(rows[part], rows[part]), len(rows), rows.shape[1])


def _by_parts(function: Callable[[slice], Scores], count: int, width: int) -> Scores:
    step = max(_VALUES // max(width, 1), 1)
    parts = [function(slice(first, first + step)) for first in range(0, count, step)]
    return np.concatenate([np.empty(0), *parts])

"""What a score is: float64, summed in one fixed order, so that equal pairs of vectors tie exactly."""

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
    x, y = x.astype(np.float64), y.astype(np.float64)
    if score == "dot":
        return np.asarray((x * y).sum(axis=1))
    if score == "euclidean":
        difference = x - y
        return np.asarray(-np.sqrt((difference * difference).sum(axis=1)))
    lengths = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))  # of a vector with itself exactly its square
    return np.clip((x * y).sum(axis=1) / lengths, -1.0, 1.0)


def rescored(left: Matrix, right: Matrix, rows: Places, columns: Places, score: str) -> Scores:
    """exact_scores of left[rows] with right[columns], some rows at a time."""
    step = max(_VALUES // max(left.shape[1], 1), 1)
    out = np.empty(len(rows))
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        out[part] = exact_scores(left[rows[part]], right[columns[part]], score)
    return out

"""What a score is: float64, summed in one fixed order, so that equal pairs of vectors tie exactly."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Matrix = npt.NDArray[Any]  # float32 or float64 [rows, dimension]
Scores = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

# Powers of two that values may have to stay as they are, and the largest that others are multiplied by.
_LEVEL, _MOST = 24, 400
# Pairs of vectors whose float64 copies are held at a time, in values: they stay in cache.
_VALUES = 1 << 17
# Pairs of which the products are computed at a time.
_PAIRS = 1 << 11


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


def leveled(left: Matrix, right: Matrix, score: str) -> tuple[Matrix, Matrix, float]:
    """Both sides in numbers of which float32 holds the squares, and what scores of them are times those of the rows.

    All is multiplied by powers of two, so nothing is rounded: for cosine each row by its own, for dot each side, and
    for euclidean both sides by the same.
    """
    tops = [np.maximum(side.max(axis=1, initial=0.0), -side.min(axis=1, initial=0.0)) for side in (left, right)]
    if score != "cosine":
        tops = [top.max(initial=0.0, keepdims=True) for top in tops]
    if score == "euclidean":
        tops = [np.maximum(*tops)] * 2
    powers = [np.clip(-np.frexp(top)[1], -_MOST, _MOST) for top in tops]
    powers = [np.where(np.abs(power) > _LEVEL, power, 0) for power in powers]
    if not any(power.any() for power in powers):
        return left, right, 1.0
    x, y = (np.ldexp(side, power[:, None]) for side, power in zip((left, right), powers, strict=True))
    exponent = {"cosine": 0, "dot": powers[0].sum() + powers[1].sum(), "euclidean": powers[0].sum()}[score]
    return x, y, 2.0 ** int(exponent)


class Rescorer:
    """exact_scores of many pairs of rows of two matrices.

    Args:
        left: [n, d] vectors.
        right: [m, d] vectors.
        score: See exact_scores.
    """

    def __init__(self, left: Matrix, right: Matrix, score: str) -> None:
        self.left, self.right, self.score = left, right, score
        self.squares = [] if score == "euclidean" else [_squares(side) for side in (left, right)]

    def __call__(self, rows: Places, columns: Places) -> Scores:
        """The score of left[rows[i]] with right[columns[i]]."""
        if self.score == "euclidean":
            return -np.sqrt(_by_parts(_distances, self.left, rows, self.right, columns, np.float64))
        sums = _by_parts(_sums, self.left, rows, self.right, columns, np.float64)
        if self.score == "dot":
            return sums
        # Of a vector with itself exactly its square, so that the cosine is exactly 1.
        return np.clip(sums / np.sqrt(self.squares[0][rows] * self.squares[1][columns]), -1.0, 1.0)

    def about(self, rows: Places, columns: Places) -> tuple[Scores, Scores]:
        """The values of pairs (see products.values) in the precision of the vectors, in a third of the time.

        Args:
            rows: [n] equal ones next to each other.
            columns: [n].

        Returns:
            The values, and how far off they can be.
        """
        kind = np.result_type(self.left, self.right)
        relative = (self.left.shape[1] + 32) * float(np.finfo(kind).eps)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.score == "euclidean":
                found = _by_parts(_near_distances, self.left, rows, self.right, columns, kind) / -2
                off = np.abs(found)
            else:
                found = _sampled(self.left, rows, self.right, columns, kind)
                off = np.sqrt(self.squares[0][rows] * self.squares[1][columns])
                if self.score == "cosine":
                    found, off = found / off, np.ones(len(rows))
        fine = np.isfinite(found)
        lost = self.left.shape[1] * float(np.finfo(kind).tiny)  # of products that are smaller than that
        return np.where(fine, found, 0.0), np.where(fine, off * relative + lost, np.inf)


def _sums(x: Matrix, y: Matrix, out: Matrix) -> Scores:
    return np.asarray(np.multiply(x, y, out=out, dtype=out.dtype).sum(axis=1))


def _distances(x: Matrix, y: Matrix, out: Matrix) -> Scores:
    """Their squares."""
    np.subtract(x, y, out=out, dtype=out.dtype)
    return np.asarray(np.square(out, out=out).sum(axis=1))


def _sampled(left: Matrix, i: Places, right: Matrix, j: Places, kind: npt.DTypeLike) -> Scores:
    """[n] products of the rows i of one matrix and j of another, those of `right` read where they stand.

    They are the places of a sparse matrix, of which torch computes no others.
    """
    columns = torch.from_numpy(right.astype(kind, copy=False)).t()
    left = left.astype(kind, copy=False)
    found, buffer = np.empty(len(i)), np.empty((min(len(i), _PAIRS), left.shape[1]), kind)
    for first in range(0, len(i), _PAIRS):
        part = slice(first, first + _PAIRS)
        starts = np.flatnonzero(np.diff(i[part], prepend=-1))
        x = torch.from_numpy(np.take(left, i[part][starts], axis=0, out=buffer[: len(starts)], mode="clip"))
        ends = torch.from_numpy(np.append(starts, len(i[part])))
        size = (len(x), columns.shape[1])
        nothing = torch.zeros(len(i[part]), dtype=x.dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch says once that sparse matrices are new
            places = torch.sparse_csr_tensor(ends, torch.from_numpy(j[part]), nothing, size, check_invariants=False)
        found[part] = torch.sparse.sampled_addmm(places, x, columns, beta=0.0).values().numpy()
    return found


def _near_distances(x: Matrix, y: Matrix, out: Matrix) -> Scores:
    np.subtract(x, y, out=out)
    return np.asarray(np.einsum("ij,ij->i", out, out))


def _squares(rows: Matrix) -> Scores:
    places = np.arange(len(rows))
    return _by_parts(_sums, rows, places, rows, places, np.float64)


def _by_parts(
    function: Callable[[Matrix, Matrix, Matrix], Scores],
    left: Matrix,
    i: Places,
    right: Matrix,
    j: Places,
    kind: npt.DTypeLike,
) -> Scores:
    """What a function gives for the rows i of one matrix and j of another, in buffers that stay in cache."""
    width = left.shape[1]
    step = max(min(_VALUES // max(width, 1), len(i)), 1)
    x, y, out = (np.empty((step, width), each) for each in (left.dtype, right.dtype, kind))
    found = np.empty(len(i))
    for first in range(0, len(i), step):
        part = slice(first, first + step)
        count = len(i[part])
        # "clip" writes where it shall at once; no place lies outside.
        np.take(left, i[part], axis=0, out=x[:count], mode="clip")
        np.take(right, j[part], axis=0, out=y[:count], mode="clip")
        found[part] = function(x[:count], y[:count], out[:count])
    return found

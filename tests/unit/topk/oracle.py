"""What a search must return: every pair compared in float64."""

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.pairs import Pairs
from st_spark.topk.scores import Matrix

# The formats that the device may choose. torch multiplies int8 on a GPU in some shapes only, so it is not chosen there.
FORMATS = ["float32", "bfloat16", *([] if torch.cuda.is_available() else ["int8"])]
KINDS = ("normal", "copies", "signs", "clusters", "far", "tiny", "outlier", "huge", "minute")

Triple = tuple[int, int, float]
Floats = npt.NDArray[np.float64]


def scores(left: Matrix, right: Matrix, score: str) -> Floats:
    """Return the score of each pair, [n, m], each by its own sum, so that equal pairs tie."""
    x, y = left.astype(np.float64)[:, None], right.astype(np.float64)[None]
    if score == "euclidean":
        return np.asarray(-np.sqrt(((x - y) ** 2).sum(axis=2)))
    products = np.asarray((x * y).sum(axis=2))
    if score == "dot":
        return products
    squares = [(side.astype(np.float64) ** 2).sum(axis=1) for side in (left, right)]
    return np.clip(products / np.sqrt(squares[0][:, None] * squares[1]), -1, 1)


def best(
    left: Matrix,
    right: Matrix,
    k: int | None,
    score: str,
    threshold: float = -np.inf,
    self_index: npt.NDArray[np.int64] | None = None,
) -> list[Triple]:
    """Return (left row, right row, score) of the k best pairs of each left row, or of all pairs."""
    return best_of(scores(left, right, score), k, threshold, self_index)


def best_of(
    values: Floats, k: int | None, threshold: float | Floats = -np.inf, self_index: npt.NDArray[np.int64] | None = None
) -> list[Triple]:
    """Return the same for a table of scores, [n, m]. There may be a threshold for each row, [n, 1]."""
    wanted = values >= threshold
    if self_index is not None:
        inside = np.flatnonzero(self_index >= 0)
        wanted[inside, self_index[inside]] = False
    order = np.argsort(-values, axis=1, kind="stable")
    wanted = np.take_along_axis(wanted, order, axis=1)
    if k is not None:
        wanted &= np.cumsum(wanted, axis=1) <= k
    rows, ranks = np.nonzero(wanted)
    columns = order[rows, ranks]
    return list(zip(rows.tolist(), columns.tolist(), values[rows, columns].tolist(), strict=True))


def triples(pairs: Pairs) -> list[Triple]:
    """Return pairs as a list."""
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.score.tolist(), strict=True))


def vectors(kind: str, count: int, width: int, seed: int) -> Matrix:
    """Return float32 rows of a kind, none of length zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, width))
    if kind == "signs":
        x = np.sign(x)
    if kind == "clusters":
        x = np.random.default_rng(7).standard_normal((4, width))[rng.integers(0, 4, count)] + 0.05 * x
    if kind == "far":
        x = 100 + x * rng.integers(1, 1000, (count, 1))
    if kind == "tiny":
        x *= 1e-6
    if kind in ("huge", "minute"):  # float32 does not hold their squares
        x *= 1e25 if kind == "huge" else 1e-25
    if kind == "outlier" and count:
        x[:: max(count // 3, 1), 0] *= 1000
    if kind == "copies" and count:
        x = np.random.default_rng(8).standard_normal((count // 3 + 1, width))[rng.integers(0, count // 3 + 1, count)]
    return np.ascontiguousarray(x, dtype=np.float32)

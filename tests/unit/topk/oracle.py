"""What a join means: every pair, in float64."""

import numpy as np
import numpy.typing as npt

from st_spark.topk.pairs import Pairs
from st_spark.topk.scores import Matrix

Triple = tuple[int, int, float]


def scores(left: Matrix, right: Matrix, score: str) -> npt.NDArray[np.float64]:
    """[n, m]: each pair by its own sum, so that equal pairs tie."""
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
    twins: npt.NDArray[np.int64] | None = None,
) -> list[Triple]:
    """(left place, right place, score) of the k best of each left row, or of all."""
    found = []
    for row, values in enumerate(scores(left, right, score)):
        order = np.lexsort((np.arange(len(values)), -values)).tolist()
        wanted = [j for j in order if values[j] >= threshold and (twins is None or twins[row] != j)]
        found += [(row, j, float(values[j])) for j in wanted[:k]]
    return found


def triples(pairs: Pairs) -> list[Triple]:
    """Pairs as a list."""
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.score.tolist(), strict=True))

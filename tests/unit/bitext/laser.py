"""LASER's definition of mining, with dense matrices and plain loops."""

from typing import Any

import numpy as np
import numpy.typing as npt

Found = dict[tuple[int, int], float]
Vectors = npt.NDArray[Any]


def unit(rows: Vectors) -> npt.NDArray[np.float64]:
    """Return the rows with length 1."""
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.sqrt((wide * wide).sum(axis=1, keepdims=True)))


def cosines(source: Vectors, target: Vectors) -> npt.NDArray[np.float64]:
    """Return [n, m] cosines, each summed on its own: equal pairs tie."""
    x, y = source.astype(np.float64), target.astype(np.float64)
    products = (x[:, None] * y[None]).sum(axis=2)
    return np.asarray(np.clip(products / np.sqrt((x * x).sum(axis=1)[:, None] * (y * y).sum(axis=1)), -1, 1))


def mine(
    similarity: npt.NDArray[np.float64],
    k: int = 4,
    margin: str = "ratio",
    retrieval: str = "max",
    threshold: float = -np.inf,
    candidates: str = "best",
) -> Found:
    """Return the pairs and their scores.

    Args:
        similarity: [n, m] cosine of each source row and each target row.
        k: Neighbours of each row.
        margin: absolute, distance or ratio.
        retrieval: forward, backward, intersect, max or union.
        threshold: Pairs need a score above it.
        candidates: best or all.
    """
    n, m = similarity.shape
    if not n or not m:
        return {}
    near = [_nearest(similarity, k), _nearest(similarity.T, k)]
    mean = [
        [np.mean([similarity[i, j] for j in row]) for i, row in enumerate(near[0])],
        [np.mean([similarity[i, j] for i in row]) for j, row in enumerate(near[1])],
    ]

    def score(i: int, j: int) -> float:
        a, b = similarity[i, j], (mean[0][i] + mean[1][j]) / 2
        with np.errstate(all="ignore"):
            return float({"absolute": a, "distance": a - b, "ratio": np.float64(a) / b}[margin])

    forward = _candidates([[(score(i, j), i, j) for j in row] for i, row in enumerate(near[0])], candidates)
    backward = _candidates([[(score(i, j), i, j) for i in row] for j, row in enumerate(near[1])], candidates)
    both = {"forward": forward, "backward": backward, "intersect": forward & backward}.get(
        retrieval, forward | backward
    )
    ordered = sorted(both, key=lambda pair: (-pair[0], *pair[1:]))
    kept: Found = {}
    seen: tuple[set[int], set[int]] = set(), set()
    for value, i, j in ordered:
        if retrieval == "max" and (i in seen[0] or j in seen[1]):
            continue
        seen[0].add(i)
        seen[1].add(j)
        if value > threshold:
            kept[i, j] = value
    return kept


def _nearest(similarity: npt.NDArray[np.float64], k: int) -> list[list[int]]:
    columns = np.arange(similarity.shape[1])
    return [np.lexsort((columns, -row))[:k].tolist() for row in similarity]


def _candidates(rows: list[list[tuple[float, int, int]]], which: str) -> set[tuple[float, int, int]]:
    sound = [[pair for pair in row if not np.isnan(pair[0])] for row in rows]
    if which == "all":
        return {pair for row in sound for pair in row}
    return {min(row, key=lambda pair: (-pair[0], *pair[1:])) for row in sound if row}

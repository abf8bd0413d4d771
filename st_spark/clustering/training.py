"""K-means on a sample in memory: the centroids, and how many of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.clustering.silhouette import silhouette
from st_spark.topk.kmeans import assign, means, nearest, scaled
from st_spark.topk.scores import Matrix

# Rounds of k-means end when the inertia falls by less than this share of it, or at the latest after so many.
_ENOUGH, _ROUNDS = 1e-4, 30
# The most steps in which the first centroids are drawn, and rows that they are drawn from for each of them.
_STEPS, _DRAWN_FROM = 512, 16
# Numbers of clusters that are tried between two bounds, and rows whose silhouettes are computed.
_TRIED, _JUDGED = 12, 20_000


@dataclass(frozen=True)
class Centroids:
    """Trained centroids.

    Attributes:
        matrix: [k, d], of the type of the sample.
        silhouettes: The silhouette of each number of clusters that was tried; {} if k was given.
    """

    matrix: Matrix
    silhouettes: dict[int, float]


def train(sample: Matrix, counts: list[int], score: str, seed: int) -> Centroids:
    """Train centroids for each number of clusters, and return those with the highest silhouette.

    Args:
        sample: [n, d] rows, none of length zero for cosine.
        counts: The numbers of clusters to try, in ascending order.
        score: For "cosine" the rows and the centroids have length 1 (spherical k-means).
        seed: The same seed and the same sample give the same centroids.
    """
    rows, unit = scaled(sample, score)
    found = {count: _centroids(rows, count, score, seed) for count in counts}
    judged = rows[:_JUDGED]
    values = (
        {count: round(silhouette(judged, nearest(judged, each), score), 4) for count, each in found.items()}
        if len(counts) > 1
        else {}
    )
    best = max(counts, key=lambda count: values.get(count, 0.0))  # of equal ones the first, the smallest number
    return Centroids((found[best].numpy() * unit).astype(sample.dtype), values)


def counts_to_try(low: int, high: int) -> list[int]:
    """Return numbers of clusters from `low` to `high`: all if there are few, else with equal ratios."""
    if high - low < _TRIED:
        return list(range(low, high + 1))
    return sorted({round(each) for each in np.geomspace(low, high, _TRIED)})


def _centroids(rows: torch.Tensor, count: int, score: str, seed: int) -> torch.Tensor:
    """Run k-means until it hardly gets better."""
    centroids = _first_centroids(rows, count, np.random.default_rng(seed))
    squares, last = rows.square().sum(dim=1).numpy(), np.inf
    for _ in range(_ROUNDS):
        places, best = assign(rows, centroids)
        inertia = float(np.maximum(squares - 2 * best, 0.0).sum(dtype=np.float64))
        if inertia > last * (1 - _ENOUGH):
            break
        centroids, last = means(rows, places, centroids, score), inertia
    return centroids


def _first_centroids(rows: torch.Tensor, count: int, random: np.random.Generator) -> torch.Tensor:
    """Choose rows far from each other: greedy k-means++. Fewer than `count` if no others differ.

    Each step draws some rows by their squared distance to the chosen ones, and keeps the best of them.
    """
    drawn = rows[: max(count * _DRAWN_FROM, 4096)]
    chosen = [int(random.integers(len(drawn)))]
    best = _squares(drawn, drawn[chosen])[:, 0]
    step = max(count // _STEPS, 1)
    while len(chosen) < count and (possible := int(np.count_nonzero(best))):
        tries = min(step * (2 + int(np.log(count))), possible)
        tried = random.choice(len(drawn), tries, replace=False, p=best / best.sum())
        distances = np.minimum(_squares(drawn, drawn[tried]), best[:, None])
        kept = np.argsort(distances.sum(axis=0), kind="stable")[: min(step, count - len(chosen))]
        best = distances[:, kept].min(axis=1)
        chosen += tried[kept].tolist()
        best[chosen] = 0.0
    return drawn[chosen]


def _squares(rows: torch.Tensor, others: torch.Tensor) -> npt.NDArray[np.float64]:
    """Return the squared distance of each row to each other one, [n, m]."""
    squares = rows.square().sum(dim=1)[:, None] + others.square().sum(dim=1) - 2 * (rows @ others.T)
    return squares.clamp(min=0.0).double().numpy()

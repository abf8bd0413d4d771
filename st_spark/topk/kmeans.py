"""K-means: centroids for inverted lists, and for cluster pruning. Seeded, so the same rows give the same centroids."""

import math

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.scores import Matrix, Places, chunks, row_norms

# Rounds within each of the two levels of list_centroids(), and over all centroids at the end.
_ROUNDS, _LAST_ROUNDS = 10, 2
# Rows whose products with all centroids are held at a time.
_CHUNK = 2048
# Sampled rows for each spread centroid, most of them, and steps in which the first centroids are chosen.
_SAMPLE_PER_CENTROID, _MAX_SAMPLE, _STEPS = 8, 16384, 32


def list_centroids(sample: Matrix, count: int, score: str, seed: int = 0) -> Matrix:
    """Return the centroids of inverted lists, [count, d]: as many as rows if there are fewer.

    A coarse k-means splits the sample into about sqrt(count) groups, a k-means in each group finds its share of the
    centroids, and the last rounds run over all. The result is close to k-means over all, in a fifth of the work.
    For "cosine", rows and centroids have length 1. Centroids that follow each other are near each other. They are the
    same for the same sample on the same machine.
    """
    rows, unit = scaled(sample, score)
    count = min(count, len(rows))
    random = np.random.default_rng(seed)
    coarse = kmeans(rows, _random_rows(rows, math.isqrt(count), random), _ROUNDS, score)
    group = nearest(rows, coarse)
    members = [np.flatnonzero(group == place) for place in range(len(coarse))]
    parts = []
    for inside, share in zip(members, _shares(np.bincount(group, minlength=len(coarse)), count), strict=True):
        if share:
            parts.append(kmeans(rows[inside], _random_rows(rows[inside], share, random), _ROUNDS, score))
    centroids = kmeans(rows, torch.cat(parts), _LAST_ROUNDS, score)
    return (centroids.numpy() * unit).astype(sample.dtype)


def spread_centroids(matrix: Matrix, count: int) -> torch.Tensor:
    """Return directions that rows lie around, [count, d] float32 of length 1, or fewer.

    They are rows of a sample far from each other, moved to means once.
    """
    places = np.random.default_rng(0).permutation(len(matrix))[: min(_SAMPLE_PER_CENTROID * count, _MAX_SAMPLE)]
    norms = np.maximum(row_norms(matrix[places]), np.finfo(np.float32).tiny)
    sample = torch.from_numpy(np.asarray(matrix[places] / norms[:, None], np.float32))
    return torch.nn.functional.normalize(kmeans(sample, _distant_rows(sample, count), 1, "cosine"), dim=1)


def scaled(sample: Matrix, score: str) -> tuple[torch.Tensor, np.float64]:
    """Return rows in float32 for k-means, and the unit of their values: of length 1 for "cosine", else at most 1."""
    norms = row_norms(sample)
    unit = np.float64(1.0 if score == "cosine" else norms.max(initial=0.0) or 1.0)  # so that float32 holds the squares
    divisors = norms if score == "cosine" else np.full(len(norms), unit)
    return torch.from_numpy((sample / divisors[:, None].astype(sample.dtype)).astype(np.float32)), unit


def kmeans(rows: torch.Tensor, init: torch.Tensor, rounds: int, score: str) -> torch.Tensor:
    """Run Lloyd's algorithm: each round moves every centroid to the mean of the rows that are nearest to it."""
    for _ in range(rounds):
        init = means(rows, nearest(rows, init), init, score)
    return init


def nearest(rows: torch.Tensor, centroids: torch.Tensor) -> Places:
    """Return the nearest centroid of each row, [rows]."""
    return assign(rows, centroids)[0]


def assign(rows: torch.Tensor, centroids: torch.Tensor) -> tuple[Places, npt.NDArray[np.float32]]:
    """Return the nearest centroid of each row, and their product less half the square of the centroid; both [rows]."""
    half = centroids.square().sum(dim=1) / 2
    found, best = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    buffer = torch.empty(_CHUNK, len(centroids))
    for part in chunks(len(rows), _CHUNK):
        products = torch.mm(rows[part], centroids.t(), out=buffer[: part.stop - part.start]).sub_(half).numpy()
        found[part] = products.argmax(axis=1)
        best[part] = np.take_along_axis(products, found[part, None], axis=1)[:, 0]
    return found, best


def means(rows: torch.Tensor, assigned: Places, centroids: torch.Tensor, score: str) -> torch.Tensor:
    """Return the mean of the rows assigned to each centroid. A centroid without rows stays."""
    places = torch.from_numpy(assigned)
    sums = torch.zeros_like(centroids).index_add_(0, places, rows)
    sizes = torch.bincount(places, minlength=len(centroids))[:, None]
    means = torch.where(sizes > 0, sums / sizes.clamp(min=1), centroids)
    if score == "cosine":
        norms = means.norm(dim=1, keepdim=True)
        means /= torch.where(norms > 0, norms, 1.0)
    return means


def _random_rows(rows: torch.Tensor, count: int, random: np.random.Generator) -> torch.Tensor:
    return rows[random.choice(len(rows), max(min(count, len(rows)), 1), replace=False)]


def _distant_rows(sample: torch.Tensor, count: int) -> torch.Tensor:
    """Choose rows step by step, among those that are farthest from all chosen before.

    Random rows alone would leave a third as many clusters without a centroid.
    """
    random = np.random.default_rng(1)
    step = max(count // _STEPS, 1)
    chosen = sample[:step]
    best = torch.full((len(sample),), -torch.inf)
    found = [chosen]
    for _ in range(min(count, len(sample)) // step - 1):
        best = torch.maximum(best, (sample @ chosen.t()).amax(dim=1))
        farthest = best.argsort()[: 4 * step].numpy()
        chosen = sample[torch.from_numpy(random.permutation(farthest)[:step])]
        found.append(chosen)
    return torch.cat(found)


def _shares(sizes: Places, count: int) -> Places:
    """Divide `count` centroids among groups by their size: at least one for each that is not empty."""
    exact = sizes * (count / sizes.sum())
    shares = np.maximum(np.floor(exact).astype(np.int64), sizes > 0)
    missing = count - int(shares.sum())
    if missing > 0:
        shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    for _ in range(-missing):  # groups smaller than a share were raised to one centroid
        shares[np.argmax(shares)] -= 1
    return np.minimum(shares, sizes)

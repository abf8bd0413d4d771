"""Centroids of a sample by k-means: seeded, in two levels and then over all, so that thousands take seconds."""

import math

import numpy as np
import torch

from st_spark.topk.coarse_quantizer import Cells
from st_spark.topk.scores import Matrix, Places, lengths

# Rounds of Lloyd's algorithm within the two levels, and over all centroids at the end.
_ROUNDS, _LAST_ROUNDS = 10, 2
# Rows whose products with all centroids are held at a time.
_ROWS = 2048


def centroids(sample: Matrix, count: int, score: str, seed: int = 0) -> Matrix:
    """The centres of cells.

    A coarse k-means cuts the sample into about sqrt(count) groups, one in each group gives it centroids by its share of
    the rows, and the last rounds run over all: near to what all rounds over all find, in a fifth of the work.

    Args:
        sample: [n, d] vectors, n >= 1.
        count: How many are wanted; there are never more than rows.
        score: "cosine" for spherical k-means: rows and centroids of length 1. Others take the rows as they are.
        seed: Which rows are the first centroids.

    Returns:
        [count or n, d] of the sample's type. The same for the same sample on the same machine.
    """
    rows, unit = _prepared(sample, score)
    count = min(count, len(rows))
    random = np.random.default_rng(seed)
    coarse = lloyd(rows, _some(rows, math.isqrt(count), random), _ROUNDS, score)
    group = nearest(rows, coarse)
    members = [np.flatnonzero(group == place) for place in range(len(coarse))]
    parts = []
    for inside, share in zip(members, _shares(np.bincount(group, minlength=len(coarse)), count), strict=True):
        if share:
            parts.append(lloyd(rows[inside], _some(rows[inside], share, random), _ROUNDS, score))
    centres = torch.cat(parts)
    for _ in range(_LAST_ROUNDS):
        centres = moved(rows, Cells(centres.numpy(), score).home(rows.numpy()), centres, score)
    return (centres.numpy() * unit).astype(sample.dtype)


def lloyd(rows: torch.Tensor, start: torch.Tensor, rounds: int, score: str) -> torch.Tensor:
    """Moves each centroid to the mean of the rows that are nearest to it, some times."""
    for _ in range(rounds):
        start = moved(rows, nearest(rows, start), start, score)
    return start


def moved(rows: torch.Tensor, cell: Places, centres: torch.Tensor, score: str) -> torch.Tensor:
    """The means of the rows of each cell; a centroid without rows stays."""
    cells = torch.from_numpy(cell)
    sums = torch.zeros_like(centres).index_add_(0, cells, rows)
    sizes = torch.bincount(cells, minlength=len(centres))[:, None]
    means = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    if score == "cosine":
        sizes = means.norm(dim=1, keepdim=True)
        means /= torch.where(sizes > 0, sizes, 1.0)
    return means


def nearest(rows: torch.Tensor, centres: torch.Tensor) -> Places:
    """[rows] the place of the nearest centroid."""
    half = centres.square().sum(dim=1) / 2
    found = np.empty(len(rows), np.int64)
    buffer = torch.empty(_ROWS, len(centres))
    for first in range(0, len(rows), _ROWS):
        part = rows[first : first + _ROWS]
        products = torch.mm(part, centres.t(), out=buffer[: len(part)]).sub_(half)
        found[first : first + len(part)] = products.numpy().argmax(axis=1)
    return found


def _prepared(sample: Matrix, score: str) -> tuple[torch.Tensor, float]:
    """Rows of a size that float32 holds, and what they were divided by; for cosine of length 1."""
    sizes = lengths(sample)
    unit = 1.0 if score == "cosine" else float(sizes.max(initial=0.0)) or 1.0
    factors = sizes if score == "cosine" else np.full(len(sizes), unit)
    return torch.from_numpy((sample / factors[:, None].astype(sample.dtype)).astype(np.float32)), unit


def _some(rows: torch.Tensor, count: int, random: np.random.Generator) -> torch.Tensor:
    return rows[random.choice(len(rows), max(min(count, len(rows)), 1), replace=False)]


def _shares(sizes: Places, count: int) -> Places:
    """How many of `count` centroids each group gets: by its size, one at least unless it is empty."""
    exact = sizes * (count / sizes.sum())
    shares = np.maximum(np.floor(exact).astype(np.int64), sizes > 0)
    missing = count - int(shares.sum())
    if missing > 0:
        shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return np.minimum(shares, sizes)

"""Rows of a search as they are multiplied: each times its factor, minus the mean of the right side.

If the right vectors share a mean u, it is subtracted before quantisation: y' = y - u and x' = x - s u, with the share s
of the mean that the left vectors have. Then x y = x' y' + a(x) + b(y) with the offsets a(x) = x u - s u u and
b(y) = s (y u). For euclidean s is 1, and the value is x' y' - x' x' / 2 - y' y' / 2.
"""

from dataclasses import dataclass

import numpy as np
import torch

from st_spark.topk.scores import Matrix, Places, Scores, chunks, row_norms, scaled_rows, unit_factors

# Rows that are computed at a time: their float32 copies stay in cache.
CHUNK = 2048
# A mean is subtracted if its square is at least this share of the mean square of the rows.
_MEAN_SHARE = 0.1


@dataclass(frozen=True)
class CenteredRows:
    """A matrix, and what makes its products values; see scores.to_values()."""

    source: Matrix  # [n, d] the matrix itself
    factors: Scores  # [n] what each row is multiplied by first; see unit_factors()
    mean: Scores | None  # [d] the mean that is subtracted then, or None
    offset: Scores  # [n] what is added to all products of a row

    @classmethod
    def scaled(cls, source: Matrix, score: str) -> "CenteredRows":
        """Return rows without a mean."""
        return cls(source, unit_factors(source, score), None, np.zeros(len(source)))

    def __len__(self) -> int:
        return len(self.source)

    @property
    def mean_norm(self) -> float:
        """The length of the mean."""
        return 0.0 if self.mean is None else float(np.linalg.norm(self.mean))

    def float32(self, which: Places | slice) -> torch.Tensor:
        """Return some rows, [which, d]."""
        return torch.from_numpy(scaled_rows(self.source, self.factors, which, self.mean))

    def peaks(self) -> Scores:
        """Return the largest absolute value of each row, [n]."""
        if self.mean is None:
            return np.maximum(self.source.max(axis=1), -self.source.min(axis=1)) * self.factors
        parts = [self.float32(part).abs().amax(dim=1).numpy() for part in chunks(len(self), CHUNK)]
        return np.concatenate(parts).astype(np.float64)

    def order(self) -> Places:
        """Return the rows with the largest values first."""
        return np.argsort(-self.peaks(), kind="stable")


def center_both(left: Matrix, right: Matrix, score: str) -> tuple[CenteredRows, CenteredRows]:
    """Subtract the mean of the right side from both sides, if it is large. No side is empty."""
    factors = [unit_factors(side, score) for side in (left, right)]
    mean, share = _mean(right, factors[1], score), 1.0
    offsets = [_offset(side, factor, mean, score) for side, factor in zip((left, right), factors, strict=True)]
    if mean is None:
        return CenteredRows(left, factors[0], None, offsets[0]), CenteredRows(right, factors[1], None, offsets[1])
    if score != "euclidean":
        share = _share(left, factors[0], mean)
        offsets = [offsets[0] - share * (mean @ mean), offsets[1] * share]
    return CenteredRows(left, factors[0], share * mean, offsets[0]), CenteredRows(right, factors[1], mean, offsets[1])


def _mean(right: Matrix, factors: Scores, score: str) -> Scores | None:
    """Return what is subtracted from the right side: its mean if that is large, [d]."""
    if score == "euclidean":
        return np.asarray(right.mean(axis=0, dtype=np.float64))
    mean = (factors.astype(right.dtype) @ right).astype(np.float64) / len(right)
    square = 1.0 if score == "cosine" else np.square(row_norms(right)).mean()
    return mean if mean @ mean > _MEAN_SHARE * square else None


def _share(left: Matrix, factors: Scores, mean: Scores) -> float:
    """Return how much of the mean the left rows have. Short rows would get longer without the whole mean."""
    own = (factors.astype(left.dtype) @ left).astype(np.float64) / len(left)
    return float(own @ mean / (mean @ mean))


def _offset(side: Matrix, factors: Scores, mean: Scores | None, score: str) -> Scores:
    """Return the products of the rows with the mean; for euclidean minus half of the squared distances to it, [n]."""
    if mean is None:
        return np.zeros(len(side))
    parts = [side[part] for part in chunks(len(side), CHUNK)]
    if score == "euclidean":
        return np.concatenate([np.square(x - mean).sum(axis=1) / -2 for x in parts])
    return np.concatenate([x @ mean for x in parts]) * factors

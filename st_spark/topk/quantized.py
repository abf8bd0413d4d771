"""Quantised vectors, with a proven bound on the error of their products.

A row x is stored as scale * codes + e. The codes are in the format that the device multiplies fastest, and the length
of the rest e is measured. By Cauchy-Schwarz the product of two quantised rows is off by at most
|e_x| |y'| + |x| |e_y| with y' = scale_y * codes_y. This holds for any vectors, so nothing can be missed.

If the right vectors share a mean u, it is subtracted before quantisation: y' = y - u and x' = x - s u, with the share s
of the mean that the left vectors have. Then x y = x' y' + a(x) + b(y) with the offsets a(x) = x u - s u u and
b(y) = s (y u). For euclidean s is 1, and the value is x' y' - x' x' / 2 - y' y' / 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from st_spark.topk.scores import Matrix, Places, Scores, chunks, row_norms, scaled_rows, unit_factors

# Rows that are quantised at a time: their float32 copies stay in cache.
_CHUNK = 2048
# Margin for the rounding of the bounds, which are computed in float32.
_MARGIN = 1 + 1e-5
# Float32 cannot hold the square of a smaller number.
_UNDERFLOW = 2e-19
# The scale of a row of zeros.
_ZERO_SCALE = 1e-30
# A mean is subtracted if its square is at least this share of the mean square of the rows.
_MEAN_SHARE = 0.1


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix in few bits, and how far off that is."""

    source: Matrix  # [n, d] the matrix itself
    factors: Scores  # [n] what each source row is multiplied by first; see unit_factors()
    mean: Scores | None  # [d] the mean that is subtracted then, or None
    order: Places  # [n] the source row that each quantised row stores
    codes: torch.Tensor  # [n, d] int8, bfloat16 or float32
    scales: Scores  # [n] what 1 in the codes of a row counts for
    error_bound: Scores  # [n] bound on the length of what the codes leave out of a row
    float32_error: Scores  # [n] the same bound for the row in float32
    norms: Scores  # [n] bound on the length of a row
    offset: Scores  # [n] what is added to all products of a row

    def __len__(self) -> int:
        return len(self.order)

    @property
    def mean_norm(self) -> float:
        """The length of the mean."""
        return 0.0 if self.mean is None else float(np.linalg.norm(self.mean))

    def float32(self, part: slice | Places) -> torch.Tensor:
        """Return some rows in float32, [part, d]."""
        return torch.from_numpy(scaled_rows(self.source, self.factors, self.order[part], self.mean))


def quantize(
    matrix: Matrix,
    factors: Scores,
    dtype: torch.dtype,
    *,
    mean: Scores | None = None,
    offset: Scores | None = None,
    order: Places | None = None,
    blocks: Places | None = None,
) -> QuantizedMatrix:
    """Quantise the rows of a matrix, each times its factor, minus the mean.

    `offset` is what is added to the products of each row. `order` is the row to store first, and so on; by default the
    rows as they come. Rows share a scale from one of `blocks` to the next; some may be empty. By default each row has
    its own scale.
    """
    order = np.arange(len(matrix)) if order is None else order
    offset = np.zeros(len(matrix)) if offset is None else offset
    errors, rounding, norms = (np.empty(len(matrix)) for _ in range(3))
    scales = np.ones(len(matrix))
    if dtype == torch.int8:
        peaks = _peaks(matrix, factors, mean)[order]
        if blocks is not None:
            blocks = np.unique(blocks[blocks < len(matrix)])
            peaks = np.repeat(np.maximum.reduceat(peaks, blocks), np.diff(blocks, append=len(matrix)))
        scales = np.where(peaks > 0, peaks / 127, _ZERO_SCALE).astype(np.float32).astype(np.float64)
    codes = torch.empty(matrix.shape, dtype=dtype)
    numbers = scales, errors, rounding, norms, offset[order]
    found = QuantizedMatrix(matrix, factors, mean, order, codes, *numbers)
    for part in chunks(len(matrix), _CHUNK):
        _fill(found, part)
    return found


def _fill(found: QuantizedMatrix, part: slice) -> None:
    """Compute the codes of some rows, and what they leave out."""
    x, codes, underflow = found.float32(part), found.codes, _UNDERFLOW * found.source.shape[1] ** 0.5
    found.norms[part] = x.norm(dim=1).numpy() * _MARGIN + underflow
    # The factor, the mean and float32 round away less than 2^-22 of the row.
    found.float32_error[part] = found.error_bound[part] = (found.norms[part] + found.mean_norm) * 2.0**-22
    if codes.dtype == torch.float32:
        codes[part] = x
        return
    if codes.dtype == torch.int8:
        scale = torch.from_numpy(found.scales[part]).float()[:, None]
        stored = (x / scale).round_().clamp_(-127, 127)
        codes[part] = stored.to(torch.int8)
        stored.mul_(scale)
    else:
        codes[part] = x.to(codes.dtype)
        stored = codes[part].float()
    found.error_bound[part] += (x - stored).norm(dim=1).numpy() * _MARGIN + underflow


def quantize_both(
    left: Matrix,
    right: Matrix,
    score: str,
    dtype: torch.dtype,
    blocks: Sequence[Places | None],
    orders: Sequence[Places] | None = None,
) -> tuple[QuantizedMatrix, QuantizedMatrix]:
    """Quantise the two sides of a search, so that products plus offsets are values; see scores.to_values().

    No side is empty. For the blocks and orders of both sides see quantize(). By default rows with the largest values
    come first: then the rows of a block are alike, and large products raise the thresholds early.
    """
    factors = [unit_factors(side, score) for side in (left, right)]
    mean, share = _mean(right, factors[1], score), 1.0
    offsets = [_offset(side, factor, mean, score) for side, factor in zip((left, right), factors, strict=True)]
    if mean is not None and score != "euclidean":
        share = _share(left, factors[0], mean)
        offsets = [offsets[0] - share * (mean @ mean), offsets[1] * share]
    both = []
    for number, side in enumerate((left, right)):
        factor, own = factors[number], mean if mean is None or number else share * mean
        order = orders[number] if orders else np.argsort(-_peaks(side, factor, own), kind="stable")
        both.append(quantize(side, factor, dtype, mean=own, offset=offsets[number], order=order, blocks=blocks[number]))
    return both[0], both[1]


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
    parts = [side[part] for part in chunks(len(side), _CHUNK)]
    if score == "euclidean":
        return np.concatenate([np.square(x - mean).sum(axis=1) / -2 for x in parts])
    return np.concatenate([x @ mean for x in parts]) * factors


def _peaks(matrix: Matrix, factors: Scores, mean: Scores | None) -> Scores:
    """Return the largest absolute value of each row, scaled and minus the mean, [n]."""
    if mean is None:
        return np.maximum(matrix.max(axis=1), -matrix.min(axis=1)) * factors
    parts = [scaled_rows(matrix, factors, np.arange(len(matrix))[part], mean) for part in chunks(len(matrix), _CHUNK)]
    return np.concatenate([np.abs(part).max(axis=1) for part in parts]).astype(np.float64)

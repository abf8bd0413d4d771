"""Quantised vectors, with a proven bound on the error of their products.

A row x is stored as scale * codes + e. The codes are in the format that the device multiplies fastest, and the length
of the rest e is measured. By Cauchy-Schwarz the product of two quantised rows is off by at most
|e_x| |y'| + |x| |e_y| with y' = scale_y * codes_y. This holds for any vectors, so nothing can be missed.

Rows can also be stored by their leading directions; see leading.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from st_spark.topk.centered import CHUNK, CenteredRows
from st_spark.topk.leading import Directions, along
from st_spark.topk.scores import Places, Scores, chunks

# Margin for the rounding of the bounds, which are computed in float32.
_MARGIN = 1 + 1e-5
# Float32 cannot hold the square of a smaller number.
_UNDERFLOW = 2e-19
# The scale of a row of zeros.
_ZERO_SCALE = 1e-30


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix as it is multiplied, and how far off that is."""

    rows: CenteredRows  # The matrix itself
    order: Places  # [n] the row of the matrix that each quantised row stores
    codes: torch.Tensor  # [n, d] int8, bfloat16 or float32; with leading directions [n, directions + 1] float32
    scales: Scores  # [n] what 1 in the codes of a row counts for
    # [n] bound on the length of what the codes leave out of a row; with leading directions of what float32 leaves out
    error_bound: Scores
    float32_error: Scores  # [n] the same bound for the row in float32
    norms: Scores  # [n] bound on the length of a row
    offset: Scores  # [n] what is added to all products of a row
    directions: Directions | None  # The leading directions, if the codes are the parts of the rows along these

    def __len__(self) -> int:
        return len(self.order)

    @property
    def width(self) -> int:
        """How many numbers a row of the matrix has, whatever the codes store."""
        return int(self.rows.source.shape[1])

    def float32(self, part: slice | Places) -> torch.Tensor:
        """Return some rows in float32, [part, d]."""
        return self.rows.float32(self.order[part])


def quantize(
    rows: CenteredRows,
    dtype: torch.dtype,
    *,
    order: Places | None = None,
    blocks: Places | None = None,
    directions: Directions | None = None,
) -> QuantizedMatrix:
    """Quantise rows.

    `order` is the row to store first, and so on; by default the rows as they come. Rows share a scale from one of
    `blocks` to the next; some may be empty. By default each row has its own scale. With `directions`, float32 rows are
    stored by their parts along these.
    """
    order = np.arange(len(rows)) if order is None else order
    errors, rounding, norms = (np.empty(len(rows)) for _ in range(3))
    scales = np.ones(len(rows))
    if dtype == torch.int8:
        peaks = rows.peaks()[order]
        if blocks is not None:
            blocks = np.unique(blocks[blocks < len(rows)])
            peaks = np.repeat(np.maximum.reduceat(peaks, blocks), np.diff(blocks, append=len(rows)))
        scales = np.where(peaks > 0, peaks / 127, _ZERO_SCALE).astype(np.float32).astype(np.float64)
    width = rows.source.shape[1] if directions is None else directions.shape[1] + 1
    codes = torch.empty(len(rows), width, dtype=dtype)
    found = QuantizedMatrix(rows, order, codes, scales, errors, rounding, norms, rows.offset[order], directions)
    for part in chunks(len(rows), CHUNK):
        _fill(found, part)
    return found


def _fill(found: QuantizedMatrix, part: slice) -> None:
    """Compute the codes of some rows, and what they leave out."""
    x, codes, underflow = found.float32(part), found.codes, _UNDERFLOW * found.width**0.5
    found.norms[part] = x.norm(dim=1).numpy() * _MARGIN + underflow
    # The factor, the mean and float32 round away less than 2^-22 of the row.
    found.float32_error[part] = found.error_bound[part] = (found.norms[part] + found.rows.mean_norm) * 2.0**-22
    if codes.dtype == torch.float32:
        codes[part] = x if found.directions is None else along(found.directions, x)
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
    left: CenteredRows,
    right: CenteredRows,
    dtype: torch.dtype,
    blocks: Sequence[Places | None],
    orders: Sequence[Places] | None = None,
    directions: Directions | None = None,
) -> tuple[QuantizedMatrix, QuantizedMatrix]:
    """Quantise the two sides of a search, so that products plus offsets are values; see scores.to_values().

    No side is empty. For the blocks and orders of both sides see quantize(). By default rows with the largest values
    come first: then the rows of a block are alike, and large products raise the thresholds early.
    """
    if orders is None:
        orders = [left.order(), right.order()]
    ours, theirs = (
        quantize(side, dtype, order=order, blocks=starts, directions=directions)
        for side, order, starts in zip((left, right), orders, blocks, strict=True)
    )
    return ours, theirs

"""Vectors in few bits, with a proven bound on what that does to their products.

x is stored as s * c + e: a scale s, codes c in the format that the device multiplies fastest, and the rest e, of which
the length is measured. By Cauchy and Schwarz the product of two codes is off by at most
|e_x| |y'| + |x| |e_y|, where y' = s_y c_y, whatever the vectors are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.scores import Matrix

Floats = npt.NDArray[np.float64]

# Rows that are coded at a time, so that their float32 copies stay in cache.
_ROWS = 2048
# Room for the rounding of the bounds themselves, which are computed in float32.
_SAFETY = 1 + 1e-5
# Float32 does not hold the square of a smaller number.
_LOST = 2e-19
# The scale of zeros.
_NOTHING = 1e-30


@dataclass(frozen=True)
class Codes:
    """Rows in few bits.

    Attributes:
        codes: [n, d] int8, bfloat16 or float32.
        scales: [n] what one unit of a row's codes stands for.
        errors: [n] bound on the length of what the codes leave out of the row.
        rounding: [n] the same of float32, in which rows are read.
        lengths: [n] bound on the length of the row.
    """

    codes: torch.Tensor
    scales: Floats
    errors: Floats
    rounding: Floats
    lengths: Floats

    def taken(self, which: npt.NDArray[np.int64], out: torch.Tensor | None = None) -> "Codes":
        """Those of some rows; their codes in the first rows of `out`, which costs less than fresh memory."""
        rest = self.scales[which], self.errors[which], self.rounding[which], self.lengths[which]
        place = None if out is None else out[: len(which)]
        return Codes(torch.index_select(self.codes, 0, torch.from_numpy(which), out=place), *rest)


@dataclass(frozen=True)
class Plan:
    """How rows are coded.

    Attributes:
        order: [n] the row that comes first, and so on.
        factors: [n] what each row is multiplied by before.
        middle: [d] what is taken from each row then, or None.
        tops: [n] what the largest code of each row, in that order, shall stand for; None: its largest value. Rows with
            the same share a scale.
    """

    order: npt.NDArray[np.int64]
    factors: Floats
    middle: Floats | None = None
    tops: Floats | None = None

    def rows(self, rows: Matrix, part: slice | npt.NDArray[np.int64]) -> torch.Tensor:
        """[part, d] float32: some rows in their order, scaled, less the middle."""
        return scaled(rows, self.factors, self.order[part], self.middle)


def scaled(
    rows: Matrix, factors: Floats, which: npt.NDArray[np.int64] | slice, middle: Floats | None = None
) -> torch.Tensor:
    """[which, d] float32: some rows, each times its factor, less the middle."""
    x = rows[which] * factors[which, None].astype(rows.dtype)
    return torch.from_numpy(x if middle is None else x - middle).float()


def encoded(rows: Matrix, plan: Plan, dtype: torch.dtype) -> Codes:
    """Codes of rows in the order of the plan.

    Args:
        rows: [n, d] float32 or float64.
        plan: Their order and more.
        dtype: int8, bfloat16 or float32.
    """
    codes = torch.empty(rows.shape, dtype=dtype)
    scales, errors, rounding, lengths = (np.empty(len(rows)) for _ in range(4))
    # The factor, the middle and float32 round away less than 2^-22 of the row as it was.
    more = 0.0 if plan.middle is None else float(np.linalg.norm(plan.middle))
    lost = _LOST * rows.shape[1] ** 0.5
    for part in pieces(len(rows), _ROWS):
        x = plan.rows(rows, part)
        scale = torch.ones(len(x))
        if dtype == torch.int8:
            tops = x.abs().amax(1) if plan.tops is None else torch.from_numpy(plan.tops[part]).float()
            scale = torch.where(tops > 0, tops / 127, _NOTHING)
            codes[part] = (x / scale[:, None]).round_().clamp_(-127, 127).to(dtype)
        else:
            codes[part] = x.to(dtype)
        scales[part] = scale.numpy()
        lengths[part] = x.norm(dim=1).numpy() * _SAFETY + lost
        rounding[part] = (lengths[part] + more) * 2.0**-22
        errors[part] = rounding[part]
        if dtype != torch.float32:
            errors[part] += (x - codes[part] * scale[:, None]).norm(dim=1).numpy() * _SAFETY + lost
    return Codes(codes, scales, errors, rounding, lengths)


def pieces(count: int, size: int) -> list[slice]:
    """Slices of at most so many rows."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]

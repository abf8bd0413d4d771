"""Vectors in few bits, with a proven bound on what that does to their products.

x is stored as s * c + e: a scale s, codes c in the format that the device multiplies fastest, and the rest e, of which
the length is measured. By Cauchy and Schwarz the product of two codes is off by at most
|e_x| |y'| + |x| |e_y|, where y' = s_y c_y, whatever the vectors are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.vectors import Matrix
from st_spark.model.precision import cpu_flags

Floats = npt.NDArray[np.float64]

# Rows that are coded at a time, so that their float32 copies stay in cache.
_ROWS = 2048
_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8")
# Room for the rounding of the bounds themselves, which are computed in float32.
_SAFETY = 1 + 1e-5


@dataclass(frozen=True)
class Codes:
    """Rows in few bits.

    Attributes:
        codes: [n, d] int8, bfloat16 or float32.
        scales: [n] what one unit of a row's codes stands for.
        errors: [n] bound on the length of what the codes leave out of the row.
        lengths: [n] bound on the length of the row.
    """

    codes: torch.Tensor
    scales: Floats
    errors: Floats
    lengths: Floats


def fastest(device: torch.device) -> torch.dtype:
    """The format in which a device multiplies vectors fastest."""
    if device.type == "cuda":
        return torch.bfloat16
    return torch.float32 if cpu_flags().isdisjoint(_INT8) else torch.int8


def largest(rows: Matrix, factors: Floats) -> Floats:
    """[n] the largest magnitude in each row times its factor."""
    parts = [np.abs(rows[i : i + _ROWS]).max(axis=1, initial=0.0) for i in range(0, len(rows), _ROWS)]
    return np.concatenate([np.empty(0), *parts]) * factors


def encoded(rows: Matrix, order: npt.NDArray[np.int64], factors: Floats, tops: Floats, dtype: torch.dtype) -> Codes:
    """Codes of rows in some order.

    Args:
        rows: [n, d] float32 or float64.
        order: [n] the row that comes first, and so on.
        factors: [n] what each row is multiplied by before.
        tops: [n], in that order, the value that int8 codes of the row reach with 127; at least the row's largest.
        dtype: int8, bfloat16 or float32.
    """
    codes = torch.empty(rows.shape, dtype=dtype)
    scales = np.where(tops > 0, tops / 127, 1.0) if dtype == torch.int8 else np.ones(len(rows))
    scales = scales.astype(np.float32).astype(np.float64)
    errors, lengths = np.empty(len(rows)), np.empty(len(rows))
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        x = torch.from_numpy(rows[order[part]] * factors[order[part], None].astype(rows.dtype)).float()
        scale = torch.from_numpy(scales[part]).float()[:, None]
        codes[part] = (x / scale).round_().clamp_(-127, 127).to(dtype) if dtype == torch.int8 else x.to(dtype)
        lengths[part] = x.norm(dim=1).double().numpy() * _SAFETY
        # What the factor and float32 round away is less than 2^-22 of the row.
        errors[part] = (x - codes[part] * scale).norm(dim=1).double().numpy() * _SAFETY + lengths[part] * 2.0**-22
    return Codes(codes, scales, errors, lengths)

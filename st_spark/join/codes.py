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
        scale: What one unit of a code stands for; the same for all rows.
        errors: [n] bound on the length of what the codes leave out of the row.
        lengths: [n] bound on the length of the row.
    """

    codes: torch.Tensor
    scale: float
    errors: Floats
    lengths: Floats


def fastest(device: torch.device) -> torch.dtype:
    """The format in which a device multiplies vectors fastest."""
    if device.type == "cuda":
        return torch.bfloat16
    return torch.float32 if cpu_flags().isdisjoint(_INT8) else torch.int8


def encoded(rows: Matrix, dtype: torch.dtype, device: torch.device) -> Codes:
    """Codes of float32 or float64 rows.

    int8 takes one scale for all rows, so that products of codes compare with one another as they are.
    """
    largest = float(max(np.abs(rows[i : i + _ROWS]).max(initial=0.0) for i in range(0, max(len(rows), 1), _ROWS)))
    scale = (largest / 127 or 1.0) if dtype == torch.int8 else 1.0
    codes = torch.empty(rows.shape, dtype=dtype)
    errors, lengths = np.empty(len(rows)), np.empty(len(rows))
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        x = torch.from_numpy(rows[part])
        coded = (x / scale).round_().clamp_(-127, 127) if dtype == torch.int8 else x
        codes[part] = coded.to(dtype)
        left_out = x.float() - codes[part].float() * scale
        # A value of float32 stands within 2^-24 of itself for one of float64.
        lengths[part] = x.float().norm(dim=1).double().numpy() * _SAFETY
        errors[part] = left_out.norm(dim=1).double().numpy() * _SAFETY + lengths[part] * 2.0**-23
    return Codes(codes.to(device), scale, errors, lengths)

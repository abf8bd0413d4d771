"""Vectors in few bits, with a proven bound on what that does to their products.

x is stored as s * c + e: a scale s, codes c in the format that the device multiplies fastest, and the rest e, of which
the length is measured. By Cauchy and Schwarz the product of two codes is off by at most
|e_x| |y'| + |x| |e_y|, where y' = s_y c_y, whatever the vectors are.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.vectors import Matrix
from st_spark.model.precision import cpu_flags

Floats = npt.NDArray[np.float64]

# Neighbours that share a scale, and those that are sorted by size for that.
RUN, GROUP = 32, 512
# Shares of a vector's values that may be multiplied alone, the most first.
LEVELS = (0.75, 0.5, 0.25)
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
        tails: For each of LEVELS [n], bound on the length of what follows the first so many values.
    """

    codes: torch.Tensor
    scales: Floats
    errors: Floats
    lengths: Floats
    tails: tuple[Floats, ...]
    _runs: dict[int, Floats] = field(init=False, default_factory=dict)

    def width(self, level: int) -> int:
        """How many values of a vector are multiplied at a level; 0 is all."""
        return width_of(self.codes.shape[1], level)

    def taken(self, which: npt.NDArray[np.int64]) -> "Codes":
        """Those of some rows."""
        tails = tuple(tail[which] for tail in self.tails)
        codes = self.codes.index_select(0, torch.from_numpy(which))
        return Codes(codes, self.scales[which], self.errors[which], self.lengths[which], tails)

    def of_runs(self, values: Floats) -> Floats:
        """[runs] the largest of each 32 neighbours of some bounds, computed once."""
        if id(values) not in self._runs:
            self._runs[id(values)] = np.maximum.reduceat(values, np.arange(0, len(values), RUN))
        return self._runs[id(values)]


@dataclass(frozen=True)
class Plan:
    """How rows are coded.

    Attributes:
        order: [n] the row that comes first, and so on.
        factors: [n] what each row is multiplied by before.
        shared: Whether RUN neighbours share a scale; then each GROUP of the order is sorted by size first.
        basis: [d, d] float32 rotation, or None.
    """

    order: npt.NDArray[np.int64]
    factors: Floats
    shared: bool = False
    basis: torch.Tensor | None = None

    def rows(self, rows: Matrix, part: slice) -> torch.Tensor:
        """Some rows in their order, scaled and rotated."""
        x = scaled(rows, self.factors, self.order[part])
        return x if self.basis is None else x @ self.basis


def scaled(rows: Matrix, factors: Floats, which: npt.NDArray[np.int64] | slice) -> torch.Tensor:
    """[which, d] float32: some rows, each times its factor."""
    return torch.from_numpy(rows[which] * factors[which, None].astype(rows.dtype)).float()


def fastest(device: torch.device) -> torch.dtype:
    """The format in which a device multiplies vectors fastest."""
    if device.type == "cuda":
        return torch.bfloat16
    return torch.float32 if cpu_flags().isdisjoint(_INT8) else torch.int8


def width_of(dimension: int, level: int) -> int:
    """How many of so many values are multiplied at a level."""
    return dimension if level == 0 else max(int(dimension * LEVELS[level - 1]) // 16 * 16, 1)


def encoded(rows: Matrix, plan: Plan, dtype: torch.dtype) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Codes of rows, and their order, which is that of the plan where scales are not shared.

    Args:
        rows: [n, d] float32 or float64.
        plan: Their order and more.
        dtype: int8, bfloat16 or float32.
    """
    codes = torch.empty(rows.shape, dtype=dtype)
    order = plan.order.copy()
    scales, errors, lengths = (np.empty(len(rows)) for _ in range(3))
    tails = tuple(np.empty(len(rows)) for _ in LEVELS)
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        x = plan.rows(rows, part)
        tops = x.abs().amax(1)
        if plan.shared:
            sizes = torch.arange(len(x)) // GROUP * (2 * tops.max() + 1) + tops
            places = sizes.argsort(stable=True)
            x, tops, order[part] = x[places], tops[places], order[part][places.numpy()]
            tops = _of_runs(tops)
        scale = torch.where(tops > 0, tops / 127, 1.0) if dtype == torch.int8 else torch.ones(len(x))
        codes[part] = (x / scale[:, None]).round_().clamp_(-127, 127).to(dtype) if dtype == torch.int8 else x.to(dtype)
        left_out = (x - codes[part] * scale[:, None]).norm(dim=1)
        scales[part] = scale.numpy()
        lengths[part] = x.norm(dim=1).numpy() * _SAFETY
        # The factor and float32 round away less than 2^-22 of the row, and a rotation sums d products in float32.
        rounded = 2.0**-22 if plan.basis is None else rows.shape[1] * 2.0**-23
        errors[part] = left_out.numpy() * _SAFETY + lengths[part] * rounded
        for level, tail in enumerate(tails, 1):
            tail[part] = x[:, width_of(rows.shape[1], level) :].norm(dim=1).numpy() * _SAFETY
    return Codes(codes, scales, errors, lengths, tails), order


def _of_runs(tops: torch.Tensor) -> torch.Tensor:
    """The largest of each RUN neighbours, for all of them."""
    runs = torch.nn.functional.pad(tops, (0, -len(tops) % RUN)).view(-1, RUN)
    return runs.amax(1).repeat_interleave(RUN)[: len(tops)]

"""Tiles of products of codes, and what in them reaches a row's threshold.

A tile is [rows, columns] products, in units of the two scales. To look for the best of a row must not cost more than
the products: the maximum of each run of columns is found first, in one pass, and only runs that reach the threshold
are looked into.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from st_spark.join.codes import Codes

Hits = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # row in the tile, column in the tile, value


@dataclass(frozen=True)
class Product:
    """Products of the rows of two sides, tile by tile.

    Attributes:
        left: Codes of one side.
        right: Codes of the other.
        shift: [right rows] float32 added to each column (for euclidean), or None.
    """

    left: Codes
    right: Codes
    shift: torch.Tensor | None = None

    @property
    def unit(self) -> float:
        """What 1 in a tile stands for."""
        return self.left.scale * self.right.scale

    def slack(self) -> np.ndarray:
        """[left rows] bound on how far any value of the row's tiles is off, in units of the tile."""
        a, b = self.left, self.right
        biggest, worst = b.lengths.max(initial=0.0), b.errors.max(initial=0.0)
        off = a.errors * (biggest + worst) + a.lengths * worst
        if a.codes.dtype != torch.int8:  # int8 sums in int32, exactly
            sums = a.lengths * biggest + (0.0 if self.shift is None else float(self.shift.abs().max()))
            rounding = 2.0**-8 if a.codes.dtype == torch.bfloat16 else 0.0
            off = off + sums * (rounding + (a.codes.shape[1] + 2) * 2.0**-23)
        return np.asarray(off / self.unit + 1e-9)

    def tiles(self, first: int, stop: int, starts: range) -> Iterator[tuple[int, torch.Tensor]]:
        """For each start a tile of rows first..stop and of starts.step columns from there, in a buffer that is reused."""
        rows = self.left.codes[first:stop]
        integer = rows.dtype == torch.int8
        dtype = torch.int32 if integer else rows.dtype
        multiply = torch._int_mm if integer else torch.mm
        buffer = torch.empty((stop - first) * starts.step, dtype=dtype, device=rows.device)
        for start in starts:
            columns = self.right.codes[start : start + starts.step]
            tile = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
            multiply(rows, columns.t(), out=tile)
            yield start, tile if self.shift is None else tile.add_(self.shift[start : start + len(columns)])


def lowest(tile: torch.Tensor) -> float | int:
    """What is below every threshold."""
    return torch.iinfo(tile.dtype).min if tile.dtype == torch.int32 else float("-inf")


def run_maxima(tile: torch.Tensor, width: int) -> torch.Tensor:
    """[rows, runs] the largest value of each run of so many columns; the last run may be shorter."""
    rows, columns = tile.shape
    whole = columns // width * width
    maxima = tile[:, :whole].unflatten(1, (-1, width)).amax(2)
    return maxima if whole == columns else torch.cat([maxima, tile[:, whole:].amax(1, keepdim=True)], dim=1)


def hits(tile: torch.Tensor, maxima: torch.Tensor, width: int, theta: torch.Tensor) -> Hits:
    """All values of a tile that are at least the threshold of their row."""
    rows, runs = (maxima >= theta[:, None]).nonzero(as_tuple=True)
    columns = runs[:, None] * width + torch.arange(width, device=tile.device)
    inside = columns < tile.shape[1]
    values = tile[rows[:, None], columns.clamp_(max=tile.shape[1] - 1)]
    which, place = ((values >= theta[rows, None]) & inside).nonzero(as_tuple=True)
    return rows[which], columns[which, place], values[which, place]

"""Tiles of products of codes, and what in them can reach what its row needs.

To look for the best of a row must not cost more than the products themselves: the maximum of each run of columns is
found first, in one pass, and only runs that may hold enough are looked into. And most products need not be computed
to their end: of two vectors x and y, the first p values give x1 y1, and the rest adds at most |x2| |y2|.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.codes import RUN, Codes

# Columns of a tile. The last one is filled up to whole runs.
COLUMNS = 4096

Span = tuple[int, int]
# Pairs: rows of a stripe, columns, products of their codes, and how far off these can be.
Found = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Tile:
    """Products of some rows with some columns, and what their true products are bounded by.

    The product of row i with a column of run r is within a[i] * worst[r] + fixed[i] of values * scale[i] * scales[r];
    where only the first values were multiplied, it is at most tail[i] * tails[r] more.

    Attributes:
        start: The first column.
        values: [rows, columns] int32 or floats, in a buffer that the next tile reuses.
        scale: [rows].
        scales: [runs].
        near: [rows] a.
        worst: [runs].
        fixed: [rows].
        tail: [rows] or None for whole products.
        tails: [runs].
        lowest: [rows] less than any product, and more than what fills up the last tile.
    """

    start: int
    values: torch.Tensor
    scale: torch.Tensor
    scales: torch.Tensor
    near: torch.Tensor
    worst: torch.Tensor
    fixed: torch.Tensor
    tail: torch.Tensor | None
    tails: torch.Tensor | None
    lowest: torch.Tensor

    def maxima(self, width: int) -> torch.Tensor:
        """[rows, columns / width] the largest value of each so many columns, times its scales."""
        largest = self.values.unflatten(1, (-1, width)).amax(2)
        scales = self.scales.repeat_interleave(RUN // width) if width < RUN else self.scales
        return largest * scales * self.scale[:, None]

    def slack(self, width: int) -> torch.Tensor:
        """[rows, columns / width] how far off true products can be; where tails are left out, how far above."""
        worst = self.worst.repeat_interleave(RUN // width) if width < RUN else self.worst
        off = torch.addr(self.fixed[:, None].expand(-1, len(worst)), self.near, worst)
        if self.tail is None or self.tails is None:
            return off
        tails = self.tails.repeat_interleave(RUN // width) if width < RUN else self.tails
        return torch.addr(off, self.tail, tails)

    def opened(self, runs: torch.Tensor, need: torch.Tensor, slack: torch.Tensor) -> Found:
        """The pairs of some runs that may have what their rows need.

        Args:
            runs: [rows, columns / width] which runs to look into.
            need: [rows] least product.
            slack: See slack(), of the same width.
        """
        width = self.values.shape[1] // runs.shape[1]
        # By flat places: index_select takes rows of memory several times as fast as an index of two dimensions.
        flat = runs.reshape(-1).nonzero()[:, 0]
        rows, places = flat // runs.shape[1], flat % runs.shape[1]
        factor = self.scale.index_select(0, rows) * self.scales.index_select(0, places // (RUN // width))
        inside = self.values.view(-1, width).index_select(0, flat) * factor[:, None]
        room = slack.reshape(-1).index_select(0, flat)
        which, place = (inside >= (need.index_select(0, rows) - room)[:, None]).nonzero(as_tuple=True)
        columns = places.index_select(0, which) * width + place + self.start
        return rows.index_select(0, which), columns, inside[which, place], room.index_select(0, which)


@dataclass(frozen=True)
class Product:
    """Products of the rows of two sides.

    Attributes:
        left: Codes of one side.
        right: Codes of the other; RUN neighbours share a scale.
        device: Where to multiply.
        shift: [right rows] float32 added to each column, or None.
    """

    left: Codes
    right: Codes
    device: torch.device
    shift: torch.Tensor | None = None
    _heads: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(init=False, default_factory=dict)

    def spans(self) -> list[Span]:
        """All columns, tile by tile."""
        columns = len(self.right.codes)
        return [(start, min(start + COLUMNS, columns)) for start in range(0, columns, COLUMNS)]

    def tiles(self, part: slice, spans: Sequence[Span], level: int = 0) -> Iterator[Tile]:
        """The tiles of some rows with some columns.

        Args:
            part: The rows, from its start to its stop.
            spans: From and to which column each tile goes: from a whole number of RUNs, at most COLUMNS.
            level: How much of the vectors to multiply: all, or the first codes.LEVELS[level - 1].
        """
        left, right = self._head(level)
        rows = left[part]
        integer = rows.dtype == torch.int8
        multiply = torch._int_mm if integer else torch.mm
        buffer = torch.empty(len(rows) * COLUMNS, dtype=torch.int32 if integer else rows.dtype, device=self.device)
        for start, stop in spans:
            columns = right[start : stop + -stop % RUN]
            values = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
            multiply(rows, columns.t(), out=values)
            if self.shift is not None:
                values[:, : stop - start] += self.shift[start:stop].to(self.device)
            if stop - start < len(columns):
                values[:, stop - start :] = torch.iinfo(torch.int32).min if integer else float("-inf")
            yield self._tile(values, part, slice(start, stop), level)

    def pairs(
        self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """[pairs] products of the codes of single pairs, and how far off they can be."""
        a, b = self.left, self.right
        i, j = torch.from_numpy(rows), torch.from_numpy(columns)
        near = (a.codes.index_select(0, i).float() * b.codes.index_select(0, j).float()).sum(dim=1).numpy() * (
            a.scales[rows] * b.scales[columns]
        )
        off = a.errors[rows] * (b.lengths[columns] + b.errors[columns]) + a.lengths[rows] * b.errors[columns]
        off += a.lengths[rows] * b.lengths[columns] * (a.codes.shape[1] + 16) * 2.0**-23 + 1e-12
        return near.astype(np.float32), off.astype(np.float32)

    def _head(self, level: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Both sides' codes, or their first values; the right side filled up to whole runs."""
        if level not in self._heads:
            width = self.left.width(level)
            filled = torch.nn.functional.pad(self.right.codes[:, :width], (0, 0, 0, -len(self.right.codes) % RUN))
            self._heads[level] = self.left.codes[:, :width].contiguous().to(self.device), filled.to(self.device)
        return self._heads[level]

    def _tile(self, values: torch.Tensor, part: slice, columns: slice, level: int) -> Tile:
        a, b = self.left, self.right
        runs = slice(columns.start // RUN, -(-columns.stop // RUN))
        biggest = float(b.lengths[columns].max())
        products = a.lengths[part] * biggest
        largest = products + (0.0 if self.shift is None else float(self.shift[columns].abs().max()))
        # What sums, their format and the float32 of these bounds round away.
        relative = (2.0**-8 if a.codes.dtype == torch.bfloat16 else 0.0) + (a.codes.shape[1] + 16) * 2.0**-23
        fixed = a.errors[part] * biggest + largest * relative + 1e-12
        near = a.errors[part] + a.lengths[part]
        sides = (
            a.scales[part],
            b.scales[runs.start * RUN : columns.stop : RUN],
            near,
            b.of_runs(b.errors)[runs],
            fixed,
        )
        scale, scales, nears, worst, rest, lowest = (
            torch.as_tensor(side, dtype=torch.float32, device=self.device) for side in (*sides, -4 * largest - 1e-20)
        )
        tail = tails = None
        if level:
            tail = torch.as_tensor(a.tails[level - 1][part], dtype=torch.float32, device=self.device)
            runs_tails = b.of_runs(b.tails[level - 1])[runs]
            tails = torch.as_tensor(runs_tails, dtype=torch.float32, device=self.device)
        return Tile(columns.start, values, scale, scales, nears, worst, rest, tail, tails, lowest)

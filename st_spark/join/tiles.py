"""Tiles of products of codes, and what in them reaches the threshold of its row.

To look for the best of a row must not cost more than the products themselves: the maximum of each run of columns is
found first, in one pass, and only runs that reach the threshold are looked into.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from st_spark.join.codes import Codes, Floats

# Columns of a tile, which share a scale, and those of a run. The last tile is filled up to whole runs.
COLUMNS, RUN = 4096, 32


@dataclass(frozen=True)
class Tile:
    """Products of some rows with the columns from a start.

    Attributes:
        start: The first column.
        values: [rows, columns] int32 or floats, in a buffer that the next tile reuses.
        units: [rows] what 1 stands for.
        slack: [rows] bound on how far a value times its unit is off.
    """

    start: int
    values: torch.Tensor
    units: torch.Tensor
    slack: torch.Tensor


@dataclass(frozen=True)
class Product:
    """Products of the rows of two sides.

    Attributes:
        left: Codes of one side.
        right: Codes of the other; COLUMNS neighbours share a scale.
        device: Where to multiply.
        shift: [right rows] float32 added to each column, or None.
    """

    left: Codes
    right: Codes
    device: torch.device
    shift: torch.Tensor | None = None
    _columns: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Fills the right side up to whole runs."""
        missing = -len(self.right.codes) % RUN
        filled = torch.nn.functional.pad(self.right.codes, (0, 0, 0, missing))
        object.__setattr__(self, "_columns", filled.to(self.device))

    def spans(self) -> list[tuple[int, int]]:
        """All columns, tile by tile."""
        columns = len(self.right.codes)
        return [(start, min(start + COLUMNS, columns)) for start in range(0, columns, COLUMNS)]

    def tiles(self, part: slice, spans: Sequence[tuple[int, int]]) -> Iterator[Tile]:
        """The tiles of some rows with some columns.

        Args:
            part: The rows, from its start to its stop.
            spans: From and to which column each tile goes: from a whole number of RUNs, within COLUMNS neighbours.
        """
        rows = self.left.codes[part].to(self.device)
        integer = rows.dtype == torch.int8
        multiply = torch._int_mm if integer else torch.mm
        buffer = torch.empty(len(rows) * COLUMNS, dtype=torch.int32 if integer else rows.dtype, device=self.device)
        for start, stop in spans:
            columns = self._columns[start : stop + -stop % RUN]
            values = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
            multiply(rows, columns.t(), out=values)
            if self.shift is not None:
                values[:, : stop - start] += self.shift[start:stop].to(self.device)
            if stop - start < len(columns):
                values[:, stop - start :] = torch.iinfo(torch.int32).min if integer else float("-inf")
            yield Tile(start, values, *self._bounds(part, slice(start, stop)))

    def _bounds(self, rows: slice, columns: slice) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = self.left, self.right
        biggest, worst = b.lengths[columns].max(), b.errors[columns].max()
        units = a.scales[rows] * b.scales[columns.start]
        slack = a.errors[rows] * (biggest + worst) + a.lengths[rows] * worst
        slack += self._rounding(a.lengths[rows] * biggest, columns)
        return self._tensor(units), self._tensor(slack)

    def _tensor(self, values: Floats) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device, torch.float32)

    def _rounding(self, products: Floats, columns: slice) -> Floats:
        """What sums and their format round away: nothing of int32 itself, but of its float32 afterwards."""
        largest = products + (0.0 if self.shift is None else float(self.shift[columns].abs().max()))
        relative = 2.0**-8 if self.left.codes.dtype == torch.bfloat16 else 0.0
        return np.asarray(largest * (relative + (self.left.codes.shape[1] + 8) * 2.0**-23) + 1e-12)


def run_maxima(values: torch.Tensor, width: int) -> torch.Tensor:
    """[rows, runs] the largest value of each run of so many columns."""
    return values.unflatten(1, (-1, width)).amax(2)


def reaching(values: torch.Tensor, maxima: torch.Tensor, theta: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """All values of a tile that are at least the threshold of their row: rows, columns, values."""
    width = values.shape[1] // maxima.shape[1]
    rows, runs = (maxima >= theta[:, None]).nonzero(as_tuple=True)
    inside = values.unflatten(1, (-1, width))[rows, runs]
    which, place = (inside >= theta[rows, None]).nonzero(as_tuple=True)
    return rows[which], runs[which] * width + place, inside[which, place]

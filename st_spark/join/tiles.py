"""Tiles of products of codes, and what in them can reach what its row, or its column, needs.

To look for the best must not cost more than the products themselves: the maximum of each run of neighbours is found
first, in one pass, and only runs that may hold enough are looked into. On one core with int8 products that is a
thirtieth of the time of the products for rows, and a twentieth for columns.
"""

from dataclasses import dataclass

import numpy as np
import torch

from st_spark.join.candidates import Candidates
from st_spark.join.products import ROUNDING, Side, Sides
from st_spark.join.scores import Scores

# Both sides are filled up to whole runs of so many.
_RUN = 32
# Integers that are added to products must be smaller than this, so that int32 holds the sums.
_MOST_ADDED = 2.0**29


@dataclass(frozen=True)
class Tile:
    """Values of some rows with some columns.

    Attributes:
        rows: The rows, by their places in the order of their side.
        columns: The columns.
        values: [rows, columns] int32 or floats, filled up to whole runs by what is less than any value.
        unit: What 1 of them stands for.
        row_off: [rows] how far off the values of a row can be.
        column_off: [columns] the same of a column.
        sharp: Whether they were multiplied in float32.
    """

    rows: slice
    columns: slice
    values: torch.Tensor
    unit: float
    row_off: Scores
    column_off: Scores
    sharp: bool

    def row_runs(self, width: int) -> torch.Tensor:
        """[rows, runs] the largest value of each so many columns."""
        return self.values if width == 1 else self.values.unflatten(1, (-1, width)).amax(2)

    def column_runs(self, width: int) -> torch.Tensor:
        """[runs, columns] the largest value of each so many rows."""
        return self.values if width == 1 else self.values.unflatten(0, (-1, width)).amax(1)

    def kth(self, runs: torch.Tensor, k: int, *, of_rows: bool) -> Scores:
        """[rows] or [columns] no less than this is the k-th best value of each; k runs have one at least as good.

        Args:
            runs: row_runs() or column_runs(), at least k of them.
            k: Which.
            of_rows: Whether they are those of rows.
        """
        best = runs.topk(k, dim=1).values[:, -1] if of_rows else runs.topk(k, dim=0).values[-1]
        off = self.row_off if of_rows else self.column_off
        return self._value(best[: len(off)]) - off

    def row_hits(self, runs: torch.Tensor, need: Scores) -> Candidates:
        """The pairs that may have what their rows need; rows are counted from the first of the tile.

        Args:
            runs: row_runs().
            need: [rows] least value.
        """
        count, width = runs.shape[1], self.values.shape[1] // runs.shape[1]
        least = self._least(need, self.row_off, self.values.shape[0])
        run = _places(runs >= least[:, None])
        row = run // count
        inside = self.values.view(-1, width).index_select(0, run)
        place = _places(inside >= least.index_select(0, row)[:, None])
        which = place // width
        column = (run % count).index_select(0, which) * width + place % width
        rows = row.index_select(0, which).cpu().numpy()
        value = self._value(inside.view(-1).index_select(0, place))
        return Candidates.near(rows, column.cpu().numpy() + self.columns.start, value, self.row_off[rows])

    def column_hits(self, runs: torch.Tensor, need: Scores) -> Candidates:
        """The pairs that may have what their columns need; here `rows` are columns, and the other way round.

        Args:
            runs: column_runs().
            need: [columns] least value.
        """
        count, width = self.values.shape[1], self.values.shape[0] // runs.shape[0]
        least = self._least(need, self.column_off, count)
        run = _places(runs >= least)
        column = run % count
        first = run // count * (width * count) + column
        flat = first[:, None] + torch.arange(width, device=first.device) * count
        inside = self.values.view(-1).index_select(0, flat.view(-1)).view(-1, width)
        place = _places(inside >= least.index_select(0, column)[:, None])
        which = place // width
        row = (run // count).index_select(0, which) * width + place % width
        columns = column.index_select(0, which).cpu().numpy()
        value = self._value(inside.view(-1).index_select(0, place))
        off = self.column_off[columns]
        return Candidates.near(columns + self.columns.start, row.cpu().numpy() + self.rows.start, value, off)

    def _value(self, values: torch.Tensor) -> Scores:
        return np.asarray(values.double().cpu().numpy() * self.unit)

    def _least(self, need: Scores, off: Scores, count: int) -> torch.Tensor:
        """[count] the least value that may stand for what is needed, never so little that filling has it."""
        least = np.full(count, np.inf)
        least[: len(need)] = (need - off) / self.unit
        kind = self.values.dtype
        if kind == torch.int32:
            bounds = torch.iinfo(kind)
            whole = np.clip(np.floor(least), bounds.min + 1, bounds.max).astype(np.int32)
        else:
            lowest = float(torch.finfo(kind).min)
            whole = np.nextafter(np.maximum(least, lowest).astype(np.float32), np.float32(lowest))
        return torch.from_numpy(whole).to(self.values.device)


class Tiles:
    """Multiplies rows with columns, tile by tile.

    Args:
        sides: Both sides. Rows and columns of a tile lie within one block of theirs.
        shape: The most rows and columns of a tile.
    """

    def __init__(self, sides: Sides, shape: tuple[int, int]) -> None:
        self.sides = sides
        self._codes = [_filled(side.codes.codes).to(sides.device) for side in (sides.left, sides.right)]
        self._integer = self._codes[0].dtype == torch.int8
        self._shifted = bool(sides.left.added.any() or sides.right.added.any())
        self._buffer = torch.empty(
            (shape[0] + _RUN) * (shape[1] + _RUN),
            dtype=torch.int32 if self._integer else self._codes[0].dtype,
            device=sides.device,
        )

    def tile(self, rows: slice, columns: slice) -> Tile:
        """The tile of some rows and columns, in a buffer that the next one reuses."""
        left, right = self.sides.left, self.sides.right
        unit = left.codes.scales[rows.start] * right.codes.scales[columns.start]
        added = max(np.abs(side.added[part]).max() for side, part in ((left, rows), (right, columns)))
        if self._integer and added > _MOST_ADDED * unit:
            return self.sharp(rows, columns)
        x, y = (codes[_whole(part)] for codes, part in zip(self._codes, (rows, columns), strict=True))
        made = self._buffer[: len(x) * len(y)].view(len(x), len(y))
        (torch._int_mm if self._integer else torch.mm)(x, y.t(), out=made)
        relative = 2.0**-8 if x.dtype == torch.bfloat16 else 0.0
        return self._made(made, (rows, columns), unit, relative, sharp=x.dtype == torch.float32)

    def sharp(self, rows: slice, columns: slice) -> Tile:
        """The same in float32: where nearly all pairs are alike, codes do not tell them apart."""
        left, right = self.sides.left, self.sides.right
        x, y = (_filled(side.rows(part)).to(self.sides.device) for side, part in ((left, rows), (right, columns)))
        return self._made(x @ y.t(), (rows, columns), 1.0, 0.0, sharp=True)

    def _made(
        self, values: torch.Tensor, parts: tuple[slice, slice], unit: float, relative: float, *, sharp: bool
    ) -> Tile:
        rows, columns = parts
        if self._shifted:
            values = values.float() if values.dtype == torch.bfloat16 else values
            for side, part, dim in ((self.sides.left, rows, 1), (self.sides.right, columns, 0)):
                added = side.added[part] / unit
                shift = np.rint(added).astype(np.int32) if values.dtype == torch.int32 else added.astype(np.float32)
                values[: _count(rows), : _count(columns)] += torch.from_numpy(shift).to(values.device).unsqueeze(dim)
        lowest = torch.iinfo(torch.int32).min if values.dtype == torch.int32 else float("-inf")
        values[:, _count(columns) :] = lowest
        values[_count(rows) :] = lowest
        floats = values.dtype != torch.int32
        offs = [
            _off(*each, relative, floats=floats, sharp=sharp)
            for each in (
                (self.sides.left, rows, self.sides.right, columns),
                (self.sides.right, columns, self.sides.left, rows),
            )
        ]
        # What was added to integers was rounded, too.
        rounded = unit if self._shifted and not floats else 0.0
        return Tile(rows, columns, values, unit, offs[0] + rounded, offs[1] + rounded, sharp)


def _off(one: Side, ours: slice, other: Side, theirs: slice, relative: float, *, floats: bool, sharp: bool) -> Scores:
    """[ours] how far off a value with any of theirs can be.

    Args:
        one: The side of ours.
        ours: Some rows.
        other: The side of theirs.
        theirs: Others.
        relative: What the format of the products rounds away.
        floats: Whether they are floats, of which sums round.
        sharp: Whether they are those of float32 rows.
    """
    errors, worst = (
        (side.codes.rounding if sharp else side.codes.errors)[part] for side, part in ((one, ours), (other, theirs))
    )
    length, longest, most = one.codes.lengths[ours], other.codes.lengths[theirs].max(), worst.max()
    size, largest = one.sizes[ours], other.sizes[theirs].max()
    off = errors * (longest + most) + length * most + ROUNDING * np.square(size + largest)
    if floats:
        relative += (one.matrix.shape[1] + 16) * 2.0**-23
        off += length * longest * relative + (np.abs(one.added[ours]) + np.abs(other.added[theirs]).max()) * 2.0**-21
    return np.asarray(off * (1 + 1e-9) + np.finfo(np.float64).tiny)


def _filled(rows: torch.Tensor) -> torch.Tensor:
    """Rows with zeros after them, so that they are whole runs."""
    return torch.nn.functional.pad(rows, (0, 0, 0, -len(rows) % _RUN))


def _whole(part: slice) -> slice:
    return slice(part.start, part.start + _count(part) + -_count(part) % _RUN)


def _count(part: slice) -> int:
    return int(part.stop - part.start)


def _places(mask: torch.Tensor) -> torch.Tensor:
    """The flat places where it is true; by NumPy on a CPU, which takes a quarter of the time."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.reshape(-1).nonzero()[:, 0]

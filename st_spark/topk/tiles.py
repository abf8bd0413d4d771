"""Tiles of products of codes, with a proven bound on how far they are off."""

import numpy as np
import torch
from torch.nn.functional import pad

from st_spark.topk.products import ROUNDING, Side, Sides
from st_spark.topk.scores import Scores
from st_spark.topk.tile import Part, Tile

# Tiles are filled up to whole runs of so many.
_RUN = 32
# Integers that are added to products must be smaller than this, so that int32 holds the sums.
_MOST_ADDED = 2.0**29


class Tiles:
    """Multiplies rows with columns, tile by tile.

    Args:
        sides: Both sides. The columns of a tile lie within one block of theirs; so do its rows where they are a slice.
        shape: The most rows and columns of a tile.
    """

    def __init__(self, sides: Sides, shape: tuple[int, int]) -> None:
        self.sides = sides
        self._codes = [side.codes.codes.to(sides.device) for side in (sides.left, sides.right)]
        self._integer = self._codes[0].dtype == torch.int8
        self._shifted = bool(sides.left.added.any() or sides.right.added.any())
        self._buffer = torch.empty(
            (shape[0] + _RUN) * (shape[1] + _RUN),
            dtype=torch.int32 if self._integer else self._codes[0].dtype,
            device=sides.device,
        )

    def tile(self, rows: Part, columns: slice) -> Tile:
        """The tile of some rows and columns, in a buffer that the next one reuses."""
        left, right = self.sides.left, self.sides.right
        unit = left.codes.scales[rows] * right.codes.scales[columns.start]
        added = max(np.abs(side.added[part]).max() for side, part in ((left, rows), (right, columns)))
        if self._integer and added > _MOST_ADDED * unit.min():
            return self.sharp(rows, columns)
        x, y = (_whole(codes, part) for codes, part in zip(self._codes, (rows, columns), strict=True))
        made = self._buffer[: len(x) * len(y)].view(len(x), len(y))
        (torch._int_mm if self._integer else torch.mm)(x, y.t(), out=made)
        relative = 2.0**-8 if x.dtype == torch.bfloat16 else 0.0
        return self._made(made, (rows, columns), unit, relative, sharp=x.dtype == torch.float32)

    def sharp(self, rows: Part, columns: slice) -> Tile:
        """The same in float32: where nearly all pairs are alike, codes do not tell them apart."""
        left, right = self.sides.left, self.sides.right
        x, y = (_filled(side.rows(part)).to(self.sides.device) for side, part in ((left, rows), (right, columns)))
        return self._made(x @ y.t(), (rows, columns), np.ones(_count(rows)), 0.0, sharp=True)

    def _made(
        self, values: torch.Tensor, parts: tuple[Part, slice], unit: Scores, relative: float, *, sharp: bool
    ) -> Tile:
        rows, columns = parts
        values = self._shift(values, rows, columns, unit) if self._shifted else values
        lowest = torch.iinfo(torch.int32).min if values.dtype == torch.int32 else float("-inf")
        values[:, _count(columns) :] = lowest
        values[_count(rows) :] = lowest
        floats = values.dtype != torch.int32
        left, right = self.sides.left, self.sides.right
        row_off = _off(left, rows, right, columns, relative, floats=floats, sharp=sharp)
        column_off = _off(right, columns, left, rows, relative, floats=floats, sharp=sharp)
        # What was added to integers was rounded, too.
        rounded = unit[0] if self._shifted and not floats else 0.0
        known = sharp and left.matrix.dtype == right.matrix.dtype == np.float32
        return Tile(rows, columns, values, unit, row_off + rounded, column_off + rounded, sharp, known)

    def _shift(self, values: torch.Tensor, rows: Part, columns: slice, unit: Scores) -> torch.Tensor:
        """The same plus what is added to rows and to columns; in float32 where the rows' units differ."""
        ours, theirs = self.sides.left.added[rows] / unit, self.sides.right.added[columns]
        if values.dtype != torch.int32 or unit.min() < unit.max():
            values = values.float()
            inside = values[: _count(rows), : _count(columns)]
            a, b, inverse = (torch.from_numpy(x).to(values) for x in (ours, theirs, 1 / unit))
            inside += a[:, None]
            inside.addr_(inverse, b)
            return values
        for shift, dim in ((ours, 1), (theirs / unit[0], 0)):
            added = torch.from_numpy(np.rint(shift).astype(np.int32)).to(values.device)
            values[: _count(rows), : _count(columns)] += added.unsqueeze(dim)
        return values


def _off(one: Side, ours: Part, other: Side, theirs: Part, relative: float, *, floats: bool, sharp: bool) -> Scores:
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


def _whole(codes: torch.Tensor, part: Part) -> torch.Tensor:
    """Some rows, and after them others, so that they are whole runs."""
    if not isinstance(part, slice):
        return _filled(codes.index_select(0, torch.from_numpy(part).to(codes.device)))
    more = -_count(part) % _RUN
    return _filled(codes[part.start : part.stop + more] if part.stop + more <= len(codes) else codes[part])


def _filled(rows: torch.Tensor) -> torch.Tensor:
    return pad(rows, (0, 0, 0, -len(rows) % _RUN)) if len(rows) % _RUN else rows


def _count(part: Part) -> int:
    return int(part.stop - part.start) if isinstance(part, slice) else len(part)

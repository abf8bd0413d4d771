"""GEMM tiles: products of some rows with some columns, and the candidates in them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from st_spark.topk.candidates import Candidates, TopKCollector
from st_spark.topk.leading import RESCORED
from st_spark.topk.quantized import QuantizedMatrix
from st_spark.topk.scores import ROUNDING, Places, Scores, chunks
from st_spark.topk.settings import device, float32_rounding

Part = slice | Places  # some rows of a quantised matrix
Rows = tuple[QuantizedMatrix, Part]

# Axes of a tile: ROWS looks for the best columns of each row, COLUMNS for the best rows of each column.
ROWS, COLUMNS = 1, 0
# Products of a group. To find a first threshold, only the maximum of each group is read.
_GROUP = 32
# A tile in which more than this share of the pairs are candidates is recomputed in float32.
_MAX_CANDIDATES = 1 / 8
# The same where values are upper bounds: to rescore more would take longer than the products.
_MAX_UPPER = 1 / RESCORED
# Offsets up to this size, in units of the products, are added to int32 products.
_MAX_INTEGER_OFFSET = 2.0**29


@dataclass(frozen=True)
class Tile:
    """Products of some rows with some columns, plus their offsets."""

    values: torch.Tensor  # [rows, columns] int32 or floats
    unit: Scores  # [rows] what 1 in the values of a row counts for; for candidates of columns the same in all rows
    # Bounds on how far the values of each row are off and, for candidates of columns, of each column; with `upper` only
    # on how far they are too low
    errors: list[Scores]
    float32: bool  # Whether the products are of whole rows in float32
    upper: bool = False  # Whether the values may be too large by any amount: products of leading directions

    def candidates(self, topk: TopKCollector, places: Places, axis: int) -> Candidates:
        """Find the pairs that may be among the best, and raise the thresholds of rows that are fresh.

        `topk` collects for the rows (of axis ROWS) or the columns (of axis COLUMNS), and `places` are these in it.
        """
        thresholds = topk.thresholds[places]
        # Upper bounds prove no value, so they raise no threshold.
        if not self.upper and self.values.shape[axis] >= topk.k and topk.fresh[places].any():
            thresholds = np.maximum(thresholds, self._kth_best(topk.k, axis) - self.errors[1 - axis])
            topk.thresholds[places], topk.fresh[places] = thresholds, False
        return self.reaching(thresholds, axis)

    def reaching(self, thresholds: Scores, axis: int = ROWS) -> Candidates:
        """Find the pairs whose value may reach the threshold of their row (or column)."""
        error = self.errors[1 - axis]
        lowest = self._lowest((thresholds - error) / self._unit(axis)).unsqueeze(axis)
        if self.values.device.type == "cpu":  # NumPy takes a third of the time of torch
            flat = np.flatnonzero(self.values.numpy() >= lowest.numpy())
        else:
            flat = (self.values >= lowest).view(-1).nonzero()[:, 0].cpu().numpy()
        rows, columns = np.divmod(flat, self.values.shape[1])
        products = self.values.view(-1)[torch.from_numpy(flat).to(self.values.device)]
        value = products.double().cpu().numpy() * self.unit[rows]
        own, other = (rows, columns) if axis == ROWS else (columns, rows)
        # Products of leading directions say nothing about how low a value may be.
        lower = np.full(len(value), -np.inf) if self.upper else value - error[own]
        return Candidates(own, other, lower, value + error[own])

    def too_many(self, found: Candidates, k: int) -> bool:
        """Return whether so many pairs are candidates that products of whole rows in float32 take less time."""
        usual = 4 * k * max(map(len, self.errors))
        most = _MAX_UPPER * self.values.numel() if self.upper else max(_MAX_CANDIDATES * self.values.numel(), usual)
        return not self.float32 and len(found.rows) > most

    def _unit(self, axis: int) -> Scores:
        return self.unit if axis == ROWS else self.unit[:1]

    def _kth_best(self, k: int, axis: int) -> Scores:
        """Return a value that the k-th best value of each row (or column) reaches: the k-th best group's maximum."""
        count = self.values.shape[axis]
        width = max(min(_GROUP, count // (4 * k)), 1)
        groups = self.values.narrow(axis, 0, count // width * width).unflatten(axis, (width, -1)).amax(axis)
        best = groups.topk(k, dim=axis).values.select(axis, k - 1)
        return best.double().cpu().numpy() * self._unit(axis)

    def _lowest(self, wanted: Scores) -> torch.Tensor:
        """Return wanted values in the type of the products, rounded down."""
        kind = self.values.dtype
        if kind == torch.int32:
            rounded = np.clip(np.floor(wanted), torch.iinfo(kind).min, torch.iinfo(kind).max).astype(np.int32)
        else:
            limits = np.finfo(np.float32)
            rounded = np.nextafter(np.clip(wanted, limits.min, limits.max).astype(np.float32), limits.min)
        return torch.from_numpy(rounded).to(self.values.device)


class Tiles:
    """The products of all rows of two quantised matrices, one tile after another.

    `row_numbers` is what column candidates call each row, if they are wanted, too.
    """

    def __init__(self, left: QuantizedMatrix, right: QuantizedMatrix, *, row_numbers: Places | None = None) -> None:
        self.left, self.right, self._row_numbers = left, right, row_numbers
        self._both = row_numbers is not None
        self._codes = [side.codes.to(device()) for side in (left, right)]
        self._upper = left.directions is not None
        self._integer = left.codes.dtype == torch.int8
        self._offsets = bool(left.offset.any() or right.offset.any())
        self._buffer = torch.empty(0)

    def collect(
        self, rows: Part, columns: slice, row_topk: TopKCollector, places: Places, column_topk: TopKCollector | None
    ) -> None:
        """Add the candidates of a tile to `row_topk`, where the rows have these places, and to `column_topk`."""
        numbers = np.arange(columns.start, columns.stop)
        searches = [(row_topk, places, numbers, ROWS)]
        if column_topk is not None and self._row_numbers is not None:
            searches.append((column_topk, numbers, self._row_numbers[rows], COLUMNS))
        tile = self.quantized(rows, columns)
        found = [tile.candidates(topk, own, axis) for topk, own, _, axis in searches]
        if any(tile.too_many(each, row_topk.k) for each in found):
            tile = self.float32(rows, columns)
            for topk, own, _, _ in searches:
                topk.fresh[own] = True
            found = [tile.candidates(topk, own, axis) for topk, own, _, axis in searches]
        for (topk, own, others, _), each in zip(searches, found, strict=True):
            topk.add(Candidates(own[each.rows], others[each.columns], each.lower, each.upper), rescore=tile.upper)

    def reaching(self, rows: Part, columns: slice, thresholds: Scores) -> Candidates:
        """Find the pairs of a tile whose value may reach the threshold of their row, counted from the first ones."""
        tile = self.quantized(rows, columns)
        found = tile.reaching(thresholds)
        return self.float32(rows, columns).reaching(thresholds) if tile.too_many(found, 0) else found

    def quantized(self, rows: Part, columns: slice) -> Tile:
        """Multiply quantised rows and columns, in a buffer that the next tile reuses."""
        ours, theirs = self.left.scales[rows], self.right.scales[columns]
        if self._integer and self._offsets:
            largest = max(np.abs(self.left.offset[rows]).max(), np.abs(self.right.offset[columns]).max())
            if largest > _MAX_INTEGER_OFFSET * ours.min() * theirs.min():
                return self.float32(rows, columns)
        x, y = _taken(self._codes[0], rows), self._codes[1][columns]
        kind = torch.int32 if self._integer else x.dtype
        if self._buffer.numel() < len(x) * len(y):
            self._buffer = torch.empty(len(x) * len(y), dtype=kind, device=x.device)
        products = self._buffer[: len(x) * len(y)].view(len(x), len(y))
        (torch._int_mm if self._integer else torch.mm)(x, y.t(), out=products)
        relative = 2.0**-8 if x.dtype == torch.bfloat16 else 0.0
        unit = ours * theirs[0]
        if self._integer and (self._both or self._offsets) and ours.min() < ours.max():
            products = products.float() * torch.from_numpy(unit).to(products.device, torch.float32)[:, None]
            unit = np.ones(len(ours))
        whole = x.dtype == torch.float32 and not self._upper
        return self._tile(products, rows, columns, unit, relative, float32=whole)

    def float32(self, rows: Part, columns: slice) -> Tile:
        """Multiply in float32: for pairs so similar that quantised values do not tell them apart."""
        x, y = (side.float32(part).to(device()) for side, part in ((self.left, rows), (self.right, columns)))
        return self._tile(x @ y.t(), rows, columns, np.ones(len(x)), 0.0, float32=True)

    def _tile(
        self, values: torch.Tensor, rows: Part, columns: slice, unit: Scores, relative: float, *, float32: bool
    ) -> Tile:
        integer = values.dtype == torch.int32
        values = values if integer else values.float()
        if self._offsets:
            for offset, axis in ((self.left.offset[rows], 0), (self.right.offset[columns], 1)):
                added = np.rint(offset / unit[0]).astype(np.int32) if integer else offset.astype(np.float32)
                values += torch.from_numpy(added).to(values.device).unsqueeze(1 - axis)
        # Offsets were rounded to integers, too.
        rounded = float(unit[0]) if self._offsets and integer else 0.0
        sides = (self.left, rows), (self.right, columns)
        errors = [
            _errors(one, other, relative, floats=not integer, float32=float32) + rounded
            for one, other in ((sides, sides[::-1]) if self._both else (sides,))
        ]
        return Tile(values, unit, errors, float32, upper=self._upper and not float32)


def list_tiles(lists: Places, rows: Places, starts: Places, shape: tuple[int, int]) -> Iterator[tuple[Places, slice]]:
    """Cut a search of lists into tiles: yield rows, and a slice of the columns of one list.

    rows[i] searches lists[i]. The columns of list j begin at starts[j]. `shape` is the most rows and columns of a tile.
    """
    order = np.argsort(lists, kind="stable")
    ends = np.searchsorted(lists[order], np.arange(len(starts)))
    for each in np.flatnonzero((np.diff(ends) > 0) & (np.diff(starts) > 0)).tolist():
        searching = rows[order[ends[each] : ends[each + 1]]]
        for part in chunks(len(searching), shape[0]):
            for span in chunks(int(starts[each + 1] - starts[each]), shape[1]):
                yield searching[part], slice(int(starts[each]) + span.start, int(starts[each]) + span.stop)


def _errors(one: Rows, other: Rows, relative: float, *, floats: bool, float32: bool) -> Scores:
    """Bound the error of the values of some rows of one side with any of some rows of the other side.

    `relative` is what the format of the products rounds away. Sums of floats are rounded, too. Products of float32 rows
    have smaller errors.
    """
    (ours, some), (theirs, others) = one, other
    errors = (ours.float32_error if float32 else ours.error_bound)[some]
    worst = (theirs.float32_error if float32 else theirs.error_bound)[others].max()
    norms, longest = ours.norms[some], theirs.norms[others].max()
    whole = norms + longest + ours.rows.mean_norm + theirs.rows.mean_norm
    bound = errors * (longest + worst) + norms * worst + ROUNDING * np.square(whole)
    if floats:
        relative += float32_rounding(ours.width)
        offsets = np.abs(ours.offset[some]) + np.abs(theirs.offset[others]).max()
        bound += norms * longest * relative + offsets * 2.0**-21
    return np.asarray(bound * (1 + 1e-9) + np.finfo(np.float64).tiny)


def _taken(codes: torch.Tensor, part: Part) -> torch.Tensor:
    """Return some rows of a tensor."""
    return codes[part] if isinstance(part, slice) else codes.index_select(0, torch.from_numpy(part).to(codes.device))

"""Products of some rows with some columns: what in them can reach what its row, or its column, needs.

To look for the best must not cost more than the products themselves: the maximum of each run of neighbours is found
first, in one pass, and only runs that may hold enough are looked into. On one core with int8 products that is a
thirtieth of the time of the products for rows, and a twentieth for columns.
"""

from dataclasses import dataclass

import numpy as np
import torch

from st_spark.topk.candidates import Candidates
from st_spark.topk.scores import Places, Scores

# The share of a tile's pairs that may be hits before they are told apart in float32.
_ALIKE = 1 / 8
# Some rows in the order of their side.
Part = slice | Places


@dataclass(frozen=True)
class Tile:
    """Values of some rows with some columns.

    Attributes:
        rows: The rows, by their places in the order of their side; a slice where hits of columns are wanted.
        columns: The columns.
        values: [rows, columns] int32 or floats, filled up to whole runs by what is less than any value.
        unit: [rows] what 1 of them stands for; the same for all rows where hits of columns are wanted.
        row_off: [rows] how far off the values of a row can be.
        column_off: [columns] the same of a column.
        sharp: Whether they were multiplied in float32.
        known: Whether they say as much as a look at the vectors would.
    """

    rows: Part
    columns: slice
    values: torch.Tensor
    unit: Scores
    row_off: Scores
    column_off: Scores
    sharp: bool
    known: bool

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
        off, unit = (self.row_off, self.unit) if of_rows else (self.column_off, self.unit[0])
        return _value(best[: len(off)], unit) - off

    def too_many(self, hits: Candidates, k: int) -> bool:
        """Whether so many pairs are hits that codes do not tell rows apart."""
        usual = 4 * k * max(len(self.row_off), len(self.column_off))
        return not self.sharp and len(hits.rows) > max(_ALIKE * self.values.numel(), usual)

    def row_hits(self, runs: torch.Tensor, need: Scores) -> Candidates:
        """The pairs that may have what their rows need; rows are counted from the first of the tile.

        Args:
            runs: row_runs().
            need: [rows] least value.
        """
        count, width = runs.shape[1], self.values.shape[1] // runs.shape[1]
        least = self._least(need, self.row_off, self.unit, self.values.shape[0])
        run = _places(runs >= least[:, None])
        row = run // count
        inside = self.values.view(-1, width).index_select(0, run)
        place = _places(inside >= least.index_select(0, row)[:, None])
        which = place // width
        column = (run % count).index_select(0, which) * width + place % width
        rows = row.index_select(0, which).cpu().numpy()
        value = _value(inside.view(-1).index_select(0, place), self.unit[rows])
        columns = column.cpu().numpy() + self.columns.start
        return Candidates.near(rows, columns, value, self.row_off[rows], known=self.known)

    def column_hits(self, runs: torch.Tensor, need: Scores) -> Candidates:
        """The pairs that may have what their columns need; here `rows` are columns, and the other way round.

        Args:
            runs: column_runs().
            need: [columns] least value.
        """
        count, width = self.values.shape[1], self.values.shape[0] // runs.shape[0]
        assert isinstance(self.rows, slice)
        least = self._least(need, self.column_off, self.unit[0], count)
        run = _places(runs >= least)
        column = run % count
        first = run // count * (width * count) + column
        flat = first[:, None] + torch.arange(width, device=first.device) * count
        inside = self.values.view(-1).index_select(0, flat.view(-1)).view(-1, width)
        place = _places(inside >= least.index_select(0, column)[:, None])
        which = place // width
        row = (run // count).index_select(0, which) * width + place % width
        columns = column.index_select(0, which).cpu().numpy()
        value = _value(inside.view(-1).index_select(0, place), self.unit[0])
        off = self.column_off[columns]
        rows = row.cpu().numpy() + self.rows.start
        return Candidates.near(columns + self.columns.start, rows, value, off, known=self.known)

    def _least(self, need: Scores, off: Scores, unit: "Scores | np.float64", count: int) -> torch.Tensor:
        """[count] the least value that may stand for what is needed, never so little that filling has it."""
        least = np.full(count, np.inf)
        least[: len(need)] = (need - off) / unit
        kind = self.values.dtype
        if kind == torch.int32:
            bounds = torch.iinfo(kind)
            whole = np.clip(np.floor(least), bounds.min + 1, bounds.max).astype(np.int32)
        else:
            lowest = float(torch.finfo(kind).min)
            whole = np.nextafter(np.maximum(least, lowest).astype(np.float32), np.float32(lowest))
        return torch.from_numpy(whole).to(self.values.device)


def run_width(most: int, count: int, k: int) -> int:
    """How many neighbours make a run: fewer where many are wanted, so that there are runs enough."""
    while most > 1 and count // most < 4 * k:
        most //= 2
    return most


def _value(values: torch.Tensor, unit: "Scores | np.float64") -> Scores:
    return np.asarray(values.double().cpu().numpy() * unit)


def _places(mask: torch.Tensor) -> torch.Tensor:
    """The flat places where it is true; by NumPy on a CPU, which takes a quarter of the time."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.reshape(-1).nonzero()[:, 0]

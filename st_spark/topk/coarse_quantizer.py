"""Cells of vectors: which one a row lies in, which ones to search for it, and how many that takes for a wanted recall.

A right row lies in the cell of the nearest centroid. A left row searches the cells whose centroids are best for it: by
cosine for "cosine", by distance for "euclidean". For "dot" right rows lie in cells by distance, vectors as they are,
and left rows search by the inner product with the centroid, which is the mean of those with the cell's rows.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad

from st_spark.hardware import fastest
from st_spark.topk.scores import Matrix, Places
from st_spark.topk.tile import run_width

Tile = npt.NDArray[Any]  # [rows, cells] int32 or float32

_MOST_CELLS = 4096
# Rows of the sample that a centroid is the mean of, at least on average.
_SAMPLED_PER_CELL = 39
_ROWS = 512
# Columns of which the largest value is looked at first; of so many cells or more there are whole runs.
_RUN, _MANY = 32, 256


def cell_count(rows: int, sampled: int) -> int:
    """How many cells so many right rows get: then finding the cells and searching them cost about the same."""
    return max(1, min(int(4 * rows**0.5), sampled // _SAMPLED_PER_CELL, _MOST_CELLS))


@dataclass(frozen=True)
class Cells:
    """Cells by their centroids.

    A row's cells depend on nothing but the row: products are sums of small integers, which no order of summation
    changes. So batches, partitions, threads and devices do not matter.

    Attributes:
        centroids: [cells, d] float32 or float64.
        score: One of vectors.SCORES.
    """

    centroids: Matrix
    score: str

    def __len__(self) -> int:
        return len(self.centroids)

    def home(self, rows: Matrix) -> Places:
        """[n] the cell that each right row lies in."""
        return self._best(rows, 1, by_distance=self.score != "cosine")[:, 0]

    def probes(self, rows: Matrix, count: int) -> Places:
        """[n, count] the cells to search for each left row, the best one first."""
        return self._best(rows, min(count, len(self)), by_distance=self.score == "euclidean")

    def _best(self, rows: Matrix, count: int, *, by_distance: bool) -> Places:
        found = np.empty((len(rows), count), np.int64)
        columns = self._codes.columns
        integer = columns.dtype == torch.int8
        # Reused: a fresh large output costs more than the products in it.
        buffer = torch.empty(
            _ROWS, len(columns), dtype=torch.int32 if integer else columns.dtype, device=columns.device
        )
        for first in range(0, len(rows), _ROWS):
            coded, units = self._coded(rows[first : first + _ROWS], by_distance=by_distance)
            tile = (torch._int_mm if integer else torch.mm)(coded, columns.t(), out=buffer[: len(coded)]).cpu().numpy()
            tile[:, len(self) :] = -np.iinfo(np.int32).max if integer else -np.inf  # the least that has a negative
            if by_distance:
                tile = tile * units[:, None].astype(np.float32) - self._codes.half
            found[first : first + _ROWS] = best_columns(tile, count)
        return found

    def _coded(self, rows: Matrix, *, by_distance: bool) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Rows as integers, and what makes their products with the columns as large as `half`."""
        codes = self._codes
        x = rows - codes.middle if by_distance else rows
        tops = np.abs(x).max(axis=1, initial=0.0)
        tops[tops == 0] = 1.0
        integers = np.rint(x / tops[:, None] * codes.levels)
        return torch.from_numpy(integers).to(codes.columns), tops / codes.levels / codes.scale

    @cached_property
    def _codes(self) -> "_Codes":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        middle = self.centroids.mean(axis=0, dtype=np.float64).astype(self.centroids.dtype)
        x = self.centroids - middle  # which takes from the products with a row the same for all cells
        levels = int(min(127.0, (2**24 / max(x.shape[1], 1)) ** 0.5))  # so that float32 holds the sums, too
        scale = float(np.abs(x).max(initial=0.0)) / levels or 1.0
        dtype = torch.int8 if fastest(device) == torch.int8 else torch.float32
        half = ((x / scale).astype(np.float64) ** 2).sum(axis=1).astype(np.float32) / 2
        columns = torch.from_numpy(np.rint(x / scale)).to(device, dtype)
        more = -len(x) % _RUN if len(x) >= _MANY else 0
        half = np.pad(half, (0, more), constant_values=np.inf)
        return _Codes(middle, pad(columns, (0, 0, 0, more)), levels, scale, half)


@dataclass(frozen=True)
class _Codes:
    """Centroids less their middle, as integers from -levels to levels of so much each, and half the squares.

    Where there are many, others follow that make whole runs of them, and are infinitely far.
    """

    middle: Matrix
    columns: torch.Tensor
    levels: int
    scale: float
    half: Matrix


def best_columns(tile: Tile, count: int) -> Places:
    """[rows, count] the columns with the largest values of each row, the largest first; of equal ones the first."""
    rows, columns = tile.shape
    if count == 1:
        return np.asarray(tile.argmax(axis=1)[:, None])
    width = run_width(_RUN, columns, count)
    if width < _RUN // 8 or columns % width:
        return np.argsort(-tile, axis=1, kind="stable")[:, :count]
    runs = columns // width
    # The count-th largest of the maxima of runs of columns: so many columns reach it, and few more.
    maxima = torch.from_numpy(tile).unflatten(1, (runs, width)).amax(2).numpy()
    least = np.partition(maxima, runs - count, axis=1)[:, runs - count]
    run = np.flatnonzero(maxima >= least[:, None])
    row = run // runs
    inside = tile.reshape(-1, width)[run]
    place = np.flatnonzero(inside >= least[row, None])
    which = place // width
    row, column = row[which], run[which] % runs * width + place % width
    order = np.lexsort((column, -inside.ravel()[place], row))
    starts = np.searchsorted(row, np.arange(rows))
    return np.asarray(column[order][starts[:, None] + np.arange(count)])


@dataclass(frozen=True)
class Recall:
    """Which part of the true pairs is found, and a 95% interval of it."""

    value: float
    low: float
    high: float


def recall_of(found: Places, wanted: Places, z: float = 1.96) -> Recall:
    """The recall of some rows that stand for all.

    Args:
        found: [rows] how many of its true pairs are found for each row.
        wanted: [rows] how many there are.
        z: Half the interval's width in standard errors.

    Returns:
        Wilson's interval. Pairs of one row are found or missed together, so they count as fewer than there are: as
        many as have the variance that the rows show.
    """
    total, hits = float(wanted.sum()), float(found.sum())
    if not total:
        return Recall(1.0, 0.0, 1.0)
    p, rows = hits / total, float((wanted > 0).sum())
    variance = float(((found - p * wanted) ** 2).sum()) / total**2
    n = min(max(p * (1 - p) / variance, 1.0), total) if variance else rows
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return Recall(p, (middle - half) / (1 + z * z / n), min((middle + half) / (1 + z * z / n), 1.0))


def found_within(ranks: Places, row: Places, rows: int, nprobe: int) -> Places:
    """[rows] how many true pairs of each row lie in its first nprobe cells.

    Args:
        ranks: [pairs] which of the row's cells, from 0, the right row of a true pair lies in.
        row: [pairs] the left row.
        rows: How many left rows there are.
        nprobe: Cells that are searched.
    """
    return np.bincount(row[ranks < nprobe], minlength=rows)


def choose_nprobe(ranks: Places, row: Places, rows: int, cells: int, recall: float) -> int:
    """The fewest cells that give the recall with a confidence of 95%; all of them for a recall of 1."""
    wanted = np.bincount(row, minlength=rows)
    low, high = 1, cells
    while low < high:
        middle = (low + high) // 2
        enough = recall_of(found_within(ranks, row, rows, middle), wanted, z=1.645).low >= recall
        low, high = (low, middle) if enough else (middle + 1, high)
    return low

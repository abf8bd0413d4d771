"""The coarse quantiser of inverted lists: which list a right row belongs to, and which lists a left row probes.

A right row belongs to the list of its nearest centroid. A left row probes the lists with the best centroids: by cosine
for "cosine", by distance for "euclidean". For "dot" right rows are assigned by distance, and left rows probe by the
inner product with the centroid, which is the mean of their inner products with the rows of the list.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.hardware import fastest
from st_spark.topk.scores import Matrix, Places, chunks
from st_spark.topk.settings import device

_MAX_LISTS = 4096
# Sampled rows for each centroid, at least on average.
_SAMPLED_PER_LIST = 39
_CHUNK = 512


def list_count(rows: int, sampled: int) -> int:
    """Return how many lists so many right rows get: then finding and searching lists cost about the same."""
    return max(1, min(int(4 * rows**0.5), sampled // _SAMPLED_PER_LIST, _MAX_LISTS))


@dataclass(frozen=True)
class CoarseQuantizer:
    """Inverted lists by their centroids.

    A row's lists depend on the row alone, not on its batch, partition, threads or device: products are sums of small
    integers, which are exact in any order.
    """

    centroids: Matrix  # [lists, d] float32 or float64
    score: str  # One of "cosine", "dot" and "euclidean"
    # Format of the products, int8 or float32; by default the faster one. Both give the same lists.
    dtype: torch.dtype | None = None

    def __len__(self) -> int:
        return len(self.centroids)

    def assign(self, rows: Matrix) -> Places:
        """Return the list that each right row belongs to, [n]."""
        return self._best(rows, 1, by_distance=self.score != "cosine")[:, 0]

    def probe(self, rows: Matrix, nprobe: int) -> Places:
        """Return the lists to search for each left row, the best one first, [n, nprobe]."""
        return self._best(rows, min(nprobe, len(self)), by_distance=self.score == "euclidean")

    def _best(self, rows: Matrix, count: int, *, by_distance: bool) -> Places:
        found = np.empty((len(rows), count), np.int64)
        columns, half = self._codes.columns, self._codes.half
        integer = columns.dtype == torch.int8
        # Reused: a fresh large output costs more than the products in it.
        buffer = torch.empty(_CHUNK, len(self), dtype=torch.int32 if integer else columns.dtype, device=columns.device)
        for part in chunks(len(rows), _CHUNK):
            integers, units = self._integers(rows[part], by_distance=by_distance)
            out = buffer[: len(integers)]
            tile = (torch._int_mm if integer else torch.mm)(integers, columns.t(), out=out).cpu().numpy()
            if by_distance:
                tile = tile * units[:, None].astype(np.float32) - half
            found[part] = best_columns(tile, count)
        return found

    def _integers(self, rows: Matrix, *, by_distance: bool) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Return rows as integers, and what scales their products to the size of `half`."""
        codes = self._codes
        x = rows - codes.mean if by_distance else rows
        peaks = np.abs(x).max(axis=1, initial=0.0)
        peaks[peaks == 0] = 1.0
        integers = np.rint(x / peaks[:, None] * codes.levels)
        return torch.from_numpy(integers).to(codes.columns), peaks / codes.levels / codes.scale

    @cached_property
    def _codes(self) -> "_Codes":
        mean = self.centroids.mean(axis=0, dtype=np.float64).astype(self.centroids.dtype)
        x = self.centroids - mean  # lowers all products of a row by the same amount
        levels = int(min(127.0, (2**24 / max(x.shape[1], 1)) ** 0.5))  # so that float32 holds the sums, too
        scale = float(np.abs(x).max(initial=0.0)) / levels or 1.0
        dtype = torch.int8 if (self.dtype or fastest(device())) == torch.int8 else torch.float32
        half = ((x / scale).astype(np.float64) ** 2).sum(axis=1).astype(np.float32) / 2
        columns = torch.from_numpy(np.rint(x / scale)).to(device(), dtype)
        return _Codes(mean, columns, levels, scale, half)


@dataclass(frozen=True)
class _Codes:
    """Centroids minus their mean, as integers from -levels to levels times a scale, and half their squares."""

    mean: Matrix
    columns: torch.Tensor
    levels: int
    scale: float
    half: Matrix


def best_columns(tile: npt.NDArray[Any], count: int) -> Places:
    """Return the columns with the largest values of each row, largest first; equal ones in order: [n, count]."""
    if count == 1:
        return np.asarray(tile.argmax(axis=1)[:, None])
    more = min(count + 1, tile.shape[1])
    values, columns = (each.numpy() for each in torch.from_numpy(tile).topk(more, dim=1))
    best = np.take_along_axis(columns, np.lexsort((columns, -values), axis=1), axis=1)[:, :count]
    if more > count:  # torch chooses any of the columns that tie at the end
        tied = np.flatnonzero(values[:, count] == values[:, count - 1])
        best[tied] = np.argsort(-tile[tied], axis=1, kind="stable")[:, :count]
    return best

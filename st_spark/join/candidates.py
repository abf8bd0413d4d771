"""Which pairs can be among the best, or above a threshold: more than there are, and never fewer."""

from dataclasses import dataclass

import numpy as np
import torch

from st_spark.join.scores import Places, Scores
from st_spark.join.tiles import Product, hits, lowest, run_maxima

# Columns of a tile, and those of a run whose maximum is looked at first.
_COLUMNS, _RUN = 4096, 32
# Candidates of a stripe that are held before those that have become hopeless are dropped.
_HELD = 1 << 22


@dataclass(frozen=True)
class Candidates:
    """Pairs of a stripe of rows.

    Attributes:
        rows: [pairs] row in the stripe, ascending.
        columns: [pairs] column.
    """

    rows: Places
    columns: Places


class Best:
    """Collects what can be among the k best of each row of a stripe, tile after tile.

    Args:
        k: How many are wanted, or None for all above the thresholds.
        theta: [rows] thresholds in units of the tile.
        margin: [rows] by how much the k-th best so far can be wrong, and what comes, too: twice the slack.
    """

    def __init__(self, k: int | None, theta: torch.Tensor, margin: torch.Tensor) -> None:
        self.k, self.theta, self.margin = k, theta, margin
        self._found: list[tuple[torch.Tensor, ...]] = []
        self._held, self._next = 0, 1
        self._tiles = 0

    def see(self, start: int, tile: torch.Tensor) -> None:
        """Takes what a tile, whose columns begin at start, has to give."""
        width = _RUN if self.k is None else max(1, min(_RUN, tile.shape[1] // (4 * self.k)))
        maxima = run_maxima(tile, width)
        if self._tiles == 0 and self.k is not None and maxima.shape[1] >= self.k:
            # The k-th best of the runs' maxima, which are values of k different columns.
            kth = maxima.topk(self.k, dim=1).values[:, -1]
            self.theta = torch.maximum(self.theta, kth - self.margin)
        rows, columns, values = hits(tile, maxima, width, self.theta)
        self._found.append((rows, columns + start, values))
        self._held += len(rows)
        self._tiles += 1
        if self.k is not None and (self._tiles >= self._next or self._held > _HELD):
            self._next = 2 * self._tiles
            self._tighten(self.k)

    def result(self) -> Candidates:
        """The candidates of all tiles."""
        if self.k is not None:
            self._tighten(self.k)
        parts = [torch.cat(side).cpu().numpy() for side in zip(*self._found, strict=True)][:2]
        rows, columns = parts if parts else (np.empty(0, np.int64), np.empty(0, np.int64))
        order = np.argsort(rows, kind="stable")
        return Candidates(rows[order], columns[order])

    def _tighten(self, k: int) -> None:
        """Raises the thresholds to the k-th best so far, and drops what does not reach them."""
        if not self._found:
            return
        rows, columns, values = (torch.cat(side) for side in zip(*self._found, strict=True))
        order = torch.argsort(values, descending=True)
        order = order[torch.argsort(rows[order], stable=True)]
        rows, columns, values = rows[order], columns[order], values[order]
        counts = torch.bincount(rows, minlength=len(self.theta))
        ends = counts.cumsum(0)
        enough = counts >= k
        kth = values[(ends - counts + k - 1)[enough]]
        self.theta[enough] = torch.maximum(self.theta[enough], kth - self.margin[enough])
        kept = values >= self.theta[rows]
        self._found = [(rows[kept], columns[kept], values[kept])]
        self._held = len(self._found[0][0])


def stripe(product: Product, first: int, stop: int, k: int | None, need: Scores) -> Candidates:
    """The candidates of the rows first..stop.

    Args:
        product: Both sides.
        first: The first row.
        stop: The row behind the last.
        k: How many best ones each row wants, or None.
        need: [rows] least value, in the score's own units, that a pair is wanted for; -inf for all.
    """
    slack = product.slack()[first:stop]
    dtype = torch.int32 if product.left.codes.dtype == torch.int8 else torch.float32
    device = product.left.codes.device
    low = lowest(torch.empty(0, dtype=dtype))
    theta = np.floor(need / product.unit - slack)
    theta = np.maximum(theta, low // 2 if dtype == torch.int32 else low)
    margin = np.ceil(2 * slack) if dtype == torch.int32 else 2 * slack
    best = Best(k, torch.from_numpy(theta).to(device, dtype), torch.from_numpy(margin).to(device, dtype))
    for start, tile in product.tiles(first, stop, range(0, len(product.right.codes), _COLUMNS)):
        best.see(start, tile)
    return best.result()

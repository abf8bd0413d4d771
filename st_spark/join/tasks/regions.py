"""Cells to tasks: neighbouring cells form a region, so that a left row, which searches neighbours, goes to few.

Pure arithmetic; no Spark.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from st_spark.topk.scores import Matrix, Places

Weights = npt.NDArray[np.float64]

_POWER_ROUNDS = 8


@dataclass(frozen=True)
class Regions:
    """Which meetings the rows of a cell go to.

    A cell larger than a region has several, its pieces: each of its right rows goes to one of them, each left row that
    searches it to all. A region with too many left rows is held several times: right rows are copied, left rows dealt
    out.

    Attributes:
        first: [cells] the region of a cell, or that of its first piece.
        pieces: [cells] how many regions a cell has: 1, unless it was split.
        meeting: [regions + 1] the number of the first meeting of each region; those of the next follow.
    """

    first: Places
    pieces: Places
    meeting: Places

    @property
    def meetings(self) -> int:
        """How many meetings there are in all."""
        return int(self.meeting[-1])

    def right(self, cells: Places, salt: Places) -> tuple[Places, Places]:
        """The meetings of right rows: for each copy the place of the row, and the meeting.

        Args:
            cells: [n] the cell of each row.
            salt: [n] a number that is spread evenly, and belongs to the row.
        """
        region = self.first[cells] + salt % self.pieces[cells]
        held = self.meeting[region + 1] - self.meeting[region]
        row, copy = _counted(held)
        return row, self.meeting[region[row]] + copy

    def left(self, probes: Places, salt: Places) -> tuple[Places, Places, Places]:
        """The meetings of left rows: for each cell to search the place of the row, the meeting, and the cell.

        Args:
            probes: [n, nprobe] the cells of each row.
            salt: [n] a number that is spread evenly, and belongs to the row.
        """
        cells = probes.ravel()
        visit, piece = _counted(self.pieces[cells])
        row, cells = visit // probes.shape[1], cells[visit]
        region = self.first[cells] + piece
        held = self.meeting[region + 1] - self.meeting[region]
        return row, self.meeting[region] + salt[row] % held, cells


def grouped(centroids: Matrix, right: Weights, left: Weights, target: float, most_left: float) -> Regions:
    """Cuts the space into regions of about equal work, along its longest directions.

    Args:
        centroids: [cells, d].
        right: [cells] right rows of each cell, as the sample tells.
        left: [cells] left rows that search each cell.
        target: Rows of both sides, counted so, of a region.
        most_left: Left rows of a meeting.
    """
    weights = right + left
    pieces = np.maximum(np.ceil(right / target), 1).astype(np.int64)
    whole = np.flatnonzero(pieces == 1)
    groups = _split(whole, centroids.astype(np.float64), weights, target) if len(whole) else []
    first, count = np.empty(len(centroids), np.int64), len(groups)
    for number, group in enumerate(groups):
        first[group] = number
    for cell in np.flatnonzero(pieces > 1).tolist():
        first[cell] = count
        count += int(pieces[cell])
    searched = np.zeros(count)
    place, piece = _counted(pieces)
    np.add.at(searched, first[place] + piece, left[place])
    held = np.maximum(np.ceil(searched / most_left), 1)
    return Regions(first, pieces, np.concatenate(([0], np.cumsum(held))).astype(np.int64))


def _split(cells: Places, centroids: Matrix, weights: Weights, target: float) -> list[Places]:
    """Halves again and again until no part is heavier than the target, as far as cells are small enough."""
    done, waiting = [], [cells]
    while waiting:
        group = waiting.pop()
        parts = int(np.ceil(weights[group].sum() / target))
        if parts <= 1 or len(group) == 1:
            done.append(group)
            continue
        group = group[np.argsort(centroids[group] @ _longest(centroids[group]), kind="stable")]
        sums = np.cumsum(weights[group])
        cut = int(np.searchsorted(sums, sums[-1] * (parts // 2) / parts)) + 1
        cut = min(max(cut, 1), len(group) - 1)
        waiting += [group[cut:], group[:cut]]
    return done


def _longest(points: Matrix) -> Weights:
    """The direction in which points spread most."""
    x = points - points.mean(axis=0)
    direction: Weights = x[np.argmax((x * x).sum(axis=1))].copy()
    for _ in range(_POWER_ROUNDS):
        length = float(np.linalg.norm(direction))
        if not length:
            break
        direction = x.T @ (x @ (direction / length))
    return direction


def _counted(counts: Places) -> tuple[Places, Places]:
    """Each place as often as its count says, and which time it is."""
    place = np.repeat(np.arange(len(counts)), counts)
    return place, np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)

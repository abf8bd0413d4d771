"""Balls around groups of rows: where two of them lie so far apart that no pair can score enough, none is computed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.kmeans import nearest
from st_spark.topk.scores import Matrix, Places

# Room for the rounding of centers, radii and distances.
_ROUNDING = 1e-5
_ROWS = 4096


@dataclass(frozen=True)
class Balls:
    """Groups of neighbouring rows.

    Attributes:
        centers: [groups, d] float64.
        radii: [groups] no row of the group is farther from its center.
    """

    centers: npt.NDArray[np.float64]
    radii: npt.NDArray[np.float64]

    def may_meet(self, others: "Balls", threshold: float, score: str) -> npt.NDArray[np.bool_]:
        """[groups, other groups] whether a row of the one can have at least this score with one of the other.

        Args:
            others: Of the other side.
            threshold: The score; for cosine all rows have length 1.
            score: One of vectors.SCORES.
        """
        lengths, other_lengths = (np.linalg.norm(side.centers, axis=1) for side in (self, others))
        products = self.centers @ others.centers.T
        room = _ROUNDING * (lengths + self.radii)[:, None] * (other_lengths + others.radii)
        if score == "dot":
            reach = lengths[:, None] * others.radii + self.radii[:, None] * other_lengths
            return np.asarray(products + reach + self.radii[:, None] * others.radii + room >= threshold)
        squares = (lengths**2)[:, None] + other_lengths**2 - 2 * products
        apart = np.sqrt(np.maximum(squares - room, 0)) - self.radii[:, None] - others.radii
        widest = np.sqrt(max(2 - 2 * threshold, 0.0)) if score == "cosine" else -threshold
        return np.asarray(apart <= widest + _ROUNDING * (1 + widest))


def balls(rows: Matrix, order: Places, size: int, factors: npt.NDArray[np.float64]) -> Balls:
    """Balls around each `size` rows that follow each other in an order, each row times its factor."""
    centers, radii = [], []
    for first in range(0, len(order), size):
        places = order[first : first + size]
        x = rows[places] * factors[places, None]
        center = x.mean(axis=0)
        centers.append(center)
        radii.append(np.sqrt(((x - center) ** 2).sum(axis=1).max()))
    return Balls(np.array(centers).reshape(-1, rows.shape[1]), np.array(radii) * (1 + _ROUNDING))


def gathered(rows: Matrix, pivots: torch.Tensor) -> Places:
    """An order that brings rows together that are nearest to the same of some pivots.

    By direction, where these have length 1.
    """
    parts = range(0, len(rows), _ROWS)
    pivot = [nearest(torch.from_numpy(rows[first : first + _ROWS]).float(), pivots) for first in parts]
    return np.argsort(np.concatenate([np.empty(0, np.int64), *pivot]), kind="stable")

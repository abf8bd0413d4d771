"""Two sides such that products of their rows order as the score does, in numbers of a size that float32 holds.

The value of a pair is x y - shift(y). For cosine x and y have length 1; for dot x has, and the longest y; for euclidean
both stand around the middle of the right side, and shift is y y / 2: |x - y| is least where x y - y y / 2 is most.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.scores import Places, lengths
from st_spark.join.vectors import Matrix

Floats = npt.NDArray[np.float64]

_ROWS = 4096
# Relative errors of what was computed in float64.
_ROUNDING = 1e-12
_PRECISION = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


@dataclass(frozen=True)
class Scaled:
    """Both sides, and what is needed of a value.

    Attributes:
        rows: The left and the right matrix as they came.
        middle: [d] what is taken from all rows, or None.
        units: What each row is divided by then: [n] and [m].
        shift: [m] or None.
        need: [n] the least value that is wanted.
        size: [n] bound on the size of a value's sum, and of its parts.
    """

    rows: tuple[Matrix, Matrix]
    middle: Floats | None
    units: tuple[Floats, Floats]
    shift: Floats | None
    need: Floats
    size: Floats

    def left(self, which: Places | slice = slice(None), dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Some left rows, scaled."""
        return self._scaled(0, which, dtype)

    def right(self, which: Places | slice = slice(None), dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Some right rows, scaled."""
        return self._scaled(1, which, dtype)

    def slack(self, dtype: torch.dtype) -> Floats:
        """[n] how far a value of the left row can be off, in which order it may be summed."""
        return self.size * ((self.rows[0].shape[1] + 16) * _PRECISION[dtype] + _ROUNDING)

    def _scaled(self, side: int, which: Places | slice, dtype: torch.dtype) -> torch.Tensor:
        rows, units = self.rows[side][which], self.units[side][which]
        out = np.empty(rows.shape, np.float64 if dtype == torch.float64 else np.float32)
        for first in range(0, len(rows), _ROWS):
            part = slice(first, first + _ROWS)
            x = rows[part] if self.middle is None else rows[part] - self.middle
            kind = np.result_type(x.dtype, out.dtype)  # float64 input is divided before float32 has to hold it
            np.divide(x, units[part, None].astype(kind), out=out[part], dtype=kind, casting="same_kind")
        return torch.from_numpy(out)


def scaled(left: Matrix, right: Matrix, score: str, threshold: float | None) -> Scaled:
    """Scales both sides for a score; values are needed that reach the threshold."""
    need = np.full(len(left), -np.inf if threshold is None else threshold)
    if score == "euclidean":
        return _around_middle(left, right, need)
    x, y = lengths(left), lengths(right)
    y = y if score == "cosine" else np.full(len(y), y.max(initial=0.0))
    x, y = np.where(x > 0, x, 1.0), np.where(y > 0, y, 1.0)
    if score == "dot":
        need /= x * y.max(initial=1.0)
    return Scaled((left, right), None, (x, y), None, need, np.ones(len(left)))


def _around_middle(left: Matrix, right: Matrix, need: Floats) -> Scaled:
    middle = right.mean(axis=0, dtype=np.float64) if len(right) else np.zeros(right.shape[1])
    x, y = _distances(left, middle), _distances(right, middle)
    unit = y.max(initial=0.0) or 1.0
    squares = (x / unit) ** 2
    # A distance of at most -need: no pair has one below 0.
    least = np.where(need > 0, np.inf, (squares - (need / unit) ** 2) / 2 - _ROUNDING * squares)
    units = np.full(len(left), unit), np.full(len(right), unit)
    return Scaled((left, right), middle, units, (y / unit) ** 2 / 2, least, x / unit + 1.0)


def _distances(rows: Matrix, middle: Floats) -> Floats:
    parts = [np.linalg.norm(rows[first : first + _ROWS] - middle, axis=1) for first in range(0, len(rows), _ROWS)]
    return np.concatenate([np.empty(0), *parts])

"""Leading directions: an upper bound of each product from few numbers of the rows.

Let x have the part a along some orthonormal directions, and r the length of the rest. By Cauchy-Schwarz
    x y <= a_x a_y + r_x r_y
which is the product of the shorter rows [a_x, r_x] and [a_y, r_y]. The directions are those along which the rows are
longest: the first principal components, if the mean of the rows is zero. They serve searches with a threshold: for a
cosine of 0.75 a third of the directions of real embeddings leaves one of a thousand pairs. How many pay is measured on
a sample. The k best of a row without a threshold need so many that nothing is saved.
"""

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.centered import CenteredRows
from st_spark.topk.scores import Scores
from st_spark.topk.settings import Settings, device

Directions = npt.NDArray[np.float64]  # [d, directions], orthonormal columns

# Rows and columns of the sample.
_SAMPLED_ROWS, _SAMPLED_COLUMNS = 256, 4096
# Numbers of directions that are tried: steps of one sixteenth of the dimension.
_STEPS = 16
# To compare one pair in float64 takes as long as this many products.
_RESCORED = 100
# Directions are used if they save this share of the work.
_WORTH = 0.15
# Fewer pairs are compared before directions are found. Those of long rows take too long to find.
_MIN_PAIRS, _WIDTHS = 1 << 27, (64, 2048)
# Added to the square of the rest, as a share of the row's square: more than float64 rounds away.
_ROUNDING = 1e-12


def along(directions: Directions, rows: torch.Tensor) -> torch.Tensor:
    """Return the parts of rows [n, d] along directions, and the length of the rest, rounded up: [n, directions + 1]."""
    x = rows.double()
    parts = x @ torch.from_numpy(directions)
    squares = x.square().sum(dim=1)
    rest = (squares - parts.square().sum(dim=1)).clamp_(min=0).add_(squares, alpha=_ROUNDING).sqrt_()
    return torch.cat((parts, rest[:, None] * (1 + 2.0**-22)), dim=1).float()


def leading_directions(
    left: CenteredRows, right: CenteredRows, thresholds: Scores, settings: Settings
) -> Directions | None:
    """Return the directions to use in a search, or None where whole rows take less time.

    `thresholds` are the lowest values that are wanted of each left row.
    """
    width, count = right.source.shape[1], settings.directions
    min_pairs = _MIN_PAIRS if settings.min_pairs is None else settings.min_pairs
    enough = len(left) * len(right) >= min_pairs and _WIDTHS[0] <= width <= _WIDTHS[1]
    may_pay = enough and np.isfinite(thresholds).any() if count is None else count > 0
    if not may_pay or settings.format() != torch.float32 or device().type == "cuda":
        return None
    random = np.random.default_rng(3)
    rows, columns = random.permutation(len(left))[:_SAMPLED_ROWS], random.permutation(len(right))[:_SAMPLED_COLUMNS]
    x, y = left.float32(rows), right.float32(columns)
    directions = principal_directions(x, y)
    if count is None:
        lowest = thresholds[rows][:, None] - left.offset[rows][:, None] - right.offset[columns]
        count = _best_count(directions, x, y, torch.from_numpy(lowest).float())
    return directions[:, :count].copy() if count < width else None


def principal_directions(x: torch.Tensor, y: torch.Tensor) -> Directions:
    """Return orthonormal directions, [d, d]: first the one along which the rows of both sides are longest."""
    moments = sum((side.t() @ side).double() / len(side) for side in (x, y))
    assert isinstance(moments, torch.Tensor)
    return np.ascontiguousarray(torch.linalg.eigh(moments).eigenvectors.flip(1).numpy())


def _best_count(directions: Directions, x: torch.Tensor, y: torch.Tensor, lowest: torch.Tensor) -> int:
    """Return the number of directions that take least time; all of them, if fewer save little.

    `lowest` are the products that are wanted of the rows x and y, [rows of x, rows of y].
    """
    width, best, least = x.shape[1], x.shape[1], 1 - _WORTH
    ours, theirs = (side @ torch.from_numpy(directions).float() for side in (x, y))
    products, start = torch.zeros_like(lowest), 0
    for count in np.unique(np.arange(1, _STEPS) * width // _STEPS).tolist():
        products += ours[:, start:count] @ theirs[:, start:count].t()
        rest = ours[:, count:].norm(dim=1)[:, None] * theirs[:, count:].norm(dim=1)
        time = (count + 1) / width + _RESCORED * float((products + rest >= lowest).float().mean())
        best, least = (count, time) if time < least else (best, least)
        start = count
    return best

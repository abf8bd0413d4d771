"""Leading directions: an upper bound of each product from a few numbers of each row.

Take some orthonormal directions. Let a_x be the part of a row x along them, and r_x the length of what is left of x.
By Cauchy-Schwarz
    x y <= a_x a_y + r_x r_y
which is the product of the shorter rows [a_x, r_x] and [a_y, r_y]. The best directions are those along which the rows
are longest: the principal components, if their mean is zero. A high threshold needs few directions; a sample shows how
many. Without a threshold a search for the k best would need nearly all, so it multiplies whole rows.
"""

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.centered import CenteredRows
from st_spark.topk.scores import Scores
from st_spark.topk.settings import Settings, device

Directions = npt.NDArray[np.float64]  # [d, directions], orthonormal columns

# Rows of each side that choose the directions, and how many of the left ones are multiplied to count candidates. The
# directions fit the rows that chose them too well: of many rows, each has little weight.
_SAMPLED, _MEASURED = 4096, 256
# Numbers of directions that are tried: steps of one sixteenth of the dimension.
_STEPS = 16
# To compare one pair in float64 takes as long as this many products.
RESCORED = 100
# Directions are used if they save this share of the work.
_WORTH = 0.15
# With fewer pairs, finding directions takes longer than it saves. Short rows gain little; long ones take too long.
_MIN_PAIRS, _WIDTHS = 1 << 27, (64, 2048)
# Added to the square of the rest, as a share of the row's square, for what float64 usually rounds away. The worst case,
# 2e-11 for 2,048 numbers, is within the margin for float32 products; see tiles._errors().
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
    # A GPU multiplies whole rows in less time than the CPU rescores candidates.
    may_pay = enough and np.isfinite(thresholds).any() if count is None else count > 0
    if not may_pay or settings.format() != torch.float32 or device().type == "cuda":
        return None
    random = np.random.default_rng(3)
    rows, columns = (random.permutation(len(side))[:_SAMPLED] for side in (left, right))
    x, y = left.float32(rows), right.float32(columns)
    directions = principal_directions(x, y)
    if count is None:
        few = rows[:_MEASURED]
        lowest = thresholds[few][:, None] - left.offset[few][:, None] - right.offset[columns]
        count = _best_count(directions, x[:_MEASURED], y, torch.from_numpy(lowest).float())
    return directions[:, :count].copy() if count < width else None


def principal_directions(x: torch.Tensor, y: torch.Tensor) -> Directions:
    """Return orthonormal directions, [d, d], in order: along the first one the rows of both sides are longest."""
    moments = torch.stack([(side.t() @ side).double() / len(side) for side in (x, y)]).sum(dim=0)
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
        time = (count + 1) / width + RESCORED * float((products + rest >= lowest).float().mean())
        best, least = (count, time) if time < least else (best, least)
        start = count
    return best

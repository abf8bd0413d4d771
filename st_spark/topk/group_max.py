"""Find the high values of a tile. That must cost less than the products in it.

So one pass takes the maximum of each group of neighbours, and only groups with a high maximum are read again.
"""

import numpy as np
import torch

from st_spark.topk.scores import Places, Scores

# Axes of a tile: ROWS looks for the best columns of each row, COLUMNS for the best rows of each column.
ROWS, COLUMNS = 1, 0
# From this many rows or columns on, a tile is padded to whole groups. Smaller tiles have groups of one.
PADDED = 128


def group_width(widest: int, count: int, k: int) -> int:
    """Return how many neighbours form a group: few enough that there are 4 * k groups of `count` neighbours."""
    if count < PADDED:
        return 1
    while widest > 1 and count // widest < 4 * k:
        widest //= 2
    return widest


def group_max(values: torch.Tensor, width: int, axis: int) -> torch.Tensor:
    """Return the maximum of each group of neighbours along an axis."""
    return values if width == 1 else values.unflatten(axis, (-1, width)).amax(axis + 1)


def find_reaching(
    values: torch.Tensor, groups: torch.Tensor, lowest: torch.Tensor, axis: int
) -> tuple[Places, Places, Scores]:
    """Find all values that are at least the lowest wanted of their row (or column).

    Args:
        values: [rows, columns], contiguous.
        groups: Their group_max().
        lowest: [rows] or [columns] lowest value that is wanted.
        axis: ROWS or COLUMNS.

    Returns:
        The rows, the columns and the values found; for COLUMNS the columns, the rows and the values.
    """
    width, count = values.shape[axis] // groups.shape[axis], groups.shape[1]
    group = _nonzero(groups >= (lowest[:, None] if axis == ROWS else lowest))
    first, second = group // count, group % count
    own, other = (first, second * width) if axis == ROWS else (second, first * width)
    found = groups.view(-1).index_select(0, group)
    if width > 1:
        step, first = (1, own * values.shape[1] + other) if axis == ROWS else (count, other * count + own)
        flat = first[:, None] + torch.arange(width, device=own.device) * step
        inside = values.view(-1).index_select(0, flat.view(-1)).view(-1, width)
        place = _nonzero(inside >= lowest.index_select(0, own)[:, None])
        which = place // width
        own, other = own.index_select(0, which), other.index_select(0, which) + place % width
        found = inside.view(-1).index_select(0, place)
    return own.cpu().numpy(), other.cpu().numpy(), found.double().cpu().numpy()


def _nonzero(mask: torch.Tensor) -> torch.Tensor:
    """Return the flat indices where a mask is true; on a CPU by NumPy, which takes a quarter of the time."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.reshape(-1).nonzero()[:, 0]

"""How an exact join is cut: stripes of left rows by stripes of right rows. Pure arithmetic; no Spark.

Left rows are copied once for each right stripe and the other way round, so a finer grid keeps more cores busy with less
memory each, and moves more bytes. The answer never depends on the grid.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# What a task may hold of vectors, in bytes; beside float32 the kernel keeps codes of one byte.
MEMORY = 1 << 30
_BYTES_PER_VALUE = 5
# Rough speeds of one core: they weigh copying against waiting, and need be right within a factor of few.
FLOPS = 3e11
_BYTES_MOVED = 1e8
_ROWS_MERGED = 5e5
# Seconds that any task costs, and that it keeps the driver busy.
_START, _LAUNCH = 0.05, 0.002


@dataclass(frozen=True)
class Grid:
    """A left row goes to `right` meetings, a right row to `left` ones."""

    left: int
    right: int

    @property
    def meetings(self) -> int:
        """How many there are."""
        return self.left * self.right


def two_sides(left: int, right: int, dimension: int, cores: int, k: int | None) -> Grid:
    """The cheapest grid that keeps a task within MEMORY.

    Args:
        left: Rows.
        right: Rows.
        dimension: Values of a vector.
        cores: Tasks that run at once.
        k: Pairs of a left row; those of several right stripes must be merged. None if all pairs are wanted.
    """
    rows = rows_held(dimension)
    a = _sizes(left)[:, None]
    need = np.ceil(right / np.maximum(rows - left / a, 1.0))
    b = np.maximum(_sizes(right)[None, :], need)
    seconds = _seconds(left / a * (right / b) * dimension, a * b, left * b + right * a, dimension, cores)
    seconds += (b > 1) * left * b * (k or 0) / (_ROWS_MERGED * cores)
    seconds = np.where(left / a < rows, seconds, np.inf)
    best = np.unravel_index(int(np.argmin(seconds)), seconds.shape)
    return Grid(int(a[best[0], 0]), int(b[best]))


def one_side(rows: int, dimension: int, cores: int) -> int:
    """The number of stripes of a side whose rows meet each other once: stripe i meets stripe j for each i <= j."""
    s = _sizes(rows)
    seconds = _seconds((rows / s) ** 2 * dimension, s * s / 2 + s / 2, rows * s, dimension, cores)
    seconds = np.where(2 * rows / s <= rows_held(dimension), seconds, np.inf)
    return int(s[int(np.argmin(seconds))])


def rows_held(dimension: int) -> float:
    """How many rows of both sides together a task may hold."""
    return MEMORY / (_BYTES_PER_VALUE * max(dimension, 1))


def _sizes(rows: int) -> npt.NDArray[np.float64]:
    """Numbers of stripes to try: all small ones, of the large ones some."""
    most = max(rows, 1)
    tried = {*range(1, 65), *(int(2 ** (step / 8)) for step in range(48, 200))}
    return np.array(sorted(size for size in tried if size <= most), dtype=np.float64)


def _seconds(
    products: npt.NDArray[np.float64],
    meetings: npt.NDArray[np.float64],
    copies: npt.NDArray[np.float64],
    dimension: int,
    cores: int,
) -> npt.NDArray[np.float64]:
    """What a grid takes: its waves of meetings, its copies of rows, and a little for each meeting."""
    work = np.ceil(meetings / cores) * (2 * products / FLOPS + _START)
    return np.asarray(work + copies * 4 * dimension / (_BYTES_MOVED * cores) + _LAUNCH * meetings)


def diagonal(stripes: int) -> list[int]:
    """The meetings of each stripe i with itself. That of i and j > i is j - i further on; their number comes last."""
    return [i * (2 * stripes - i + 1) // 2 for i in range(stripes + 1)]

"""Values that belong to rows, a few to each, ordered within their rows: as tables, which sort far faster than lists."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from st_spark.join.scores import Places

Floats = npt.NDArray[np.float64]

# Rows of a table, which stays in cache unless a row has very many values.
_ROWS = 1024


@dataclass(frozen=True)
class Table:
    """The values of some rows that have any.

    Attributes:
        rows: [rows] ascending.
        values: [rows, most of a row] -inf where a row has no more.
        order: [values] the places of the values, row by row.
        counts: [rows] how many values each has.
    """

    rows: Places
    values: Floats
    order: Places
    counts: Places

    def sorted(self) -> Places:
        """The places row by row, the largest value first; of equal ones in any order."""
        found = np.argsort(-self.values, axis=1) + (np.cumsum(self.counts) - self.counts)[:, None]
        return self.order[found[np.arange(self.values.shape[1]) < self.counts[:, None]]]

    def kth(self, k: int) -> Floats:
        """[rows] the k-th largest value of each row; -inf where there are fewer."""
        width = self.values.shape[1]
        if width < k:
            return np.full(len(self.rows), -np.inf)
        return np.asarray(np.partition(self.values, width - k, axis=1)[:, width - k])


def tables(row: Places, value: Floats) -> Iterator[Table]:
    """Makes tables of values whose rows stand in any order; those of a row are in one table."""
    order = np.argsort(row, kind="stable")
    row = row[order]
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    counts = np.diff(starts, append=len(row))
    for first in range(0, len(starts), _ROWS):
        some = counts[first : first + _ROWS]
        begin = int(starts[first])
        places = order[begin : begin + int(some.sum())]
        ends = np.cumsum(some)
        values = np.full((len(some), int(some.max())), -np.inf)
        within = np.arange(len(places)) - np.repeat(ends - some, some)
        values[np.repeat(np.arange(len(some)), some), within] = value[places]
        yield Table(row[starts[first : first + _ROWS]], values, places, some)

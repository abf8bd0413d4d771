"""Groups of rows that are equal bit by bit. A search compares each group once."""

from dataclasses import dataclass

import numpy as np

from st_spark.topk.scores import Matrix, Places, chunks

_CHUNK = 2048  # rows that are compared at a time


@dataclass(frozen=True)
class UniqueRows:
    """The groups of equal rows of a matrix."""

    representatives: Places  # [groups] first row of each group, ascending
    group_rows: Places  # [rows] the rows, group by group, ascending in each
    starts: Places  # [groups + 1] where the rows of each group begin in group_rows

    @staticmethod
    def each(count: int) -> "UniqueRows":
        """Return rows that are a group each."""
        rows = np.arange(count)
        return UniqueRows(rows, rows, np.arange(count + 1))

    @property
    def all_differ(self) -> bool:
        """Whether no two rows are equal."""
        return len(self.representatives) == len(self.group_rows)

    def of(self, matrix: Matrix) -> Matrix:
        """Return the first row of each group: the matrix itself, without a copy, if all rows differ."""
        return matrix if self.all_differ else matrix[self.representatives]

    def expand(self, groups: Places, limit: int | None = None) -> tuple[Places, Places]:
        """Return the rows of some groups, at most `limit` of each: the index in `groups`, and the row number."""
        counts = self.starts[groups + 1] - self.starts[groups]
        counts = counts if limit is None else np.minimum(counts, limit)
        which = np.repeat(np.arange(len(groups)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return which, self.group_rows[self.starts[groups][which] + within]


def unique_rows(matrix: Matrix) -> UniqueRows:
    """Find equal rows. They are compared as strings of bytes."""
    row = np.dtype((np.void, matrix.shape[1] * matrix.itemsize))
    rows = np.ascontiguousarray(matrix).view(row).ravel() if matrix.size else np.zeros(len(matrix))
    order = np.argsort(rows, kind="stable")
    new = np.ones(len(rows), np.bool_)
    for part in chunks(max(len(rows) - 1, 0), _CHUNK):  # np.unique() would copy all rows three times
        new[1:][part] = rows[order[1:][part]] != rows[order[:-1][part]]
    first = np.empty(len(rows), np.int64)  # the first equal row of each row
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    representatives, sizes = np.unique(first, return_counts=True)
    return UniqueRows(representatives, np.argsort(first, kind="stable"), np.append(0, np.cumsum(sizes)))

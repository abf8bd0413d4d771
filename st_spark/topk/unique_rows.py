"""Rows that are equal bit by bit, brought together: a join meets each of them once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from st_spark.topk.scores import Matrix, Places

_ROWS = 4096


@dataclass(frozen=True)
class Distinct:
    """The groups of equal rows of a matrix.

    Attributes:
        firsts: [groups] the first row of each, ascending.
        members: [rows] the rows, group by group, ascending in each.
        starts: [groups + 1] where the members of each group begin.
    """

    firsts: Places
    members: Places
    starts: Places

    @property
    def all_differ(self) -> bool:
        """Whether no two rows are equal."""
        return len(self.firsts) == len(self.members)

    def of(self, matrix: Matrix) -> Matrix:
        """The first row of each group; the matrix itself, not twice the memory, where all rows differ."""
        return matrix if self.all_differ else matrix[self.firsts]

    def expanded(self, groups: Places, most: int | None = None) -> tuple[Places, Places]:
        """The members of each of some groups, at most so many of each.

        Returns:
            Which of the given groups (by its place in `groups`), and which row.
        """
        counts = self.starts[groups + 1] - self.starts[groups]
        counts = counts if most is None else np.minimum(counts, most)
        which = np.repeat(np.arange(len(groups)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return which, self.members[self.starts[groups][which] + within]


def distinct(matrix: Matrix) -> Distinct:
    """Finds equal rows: by a hash, then by a look at the rows themselves."""
    keys = _hashes(matrix)
    _, firsts, group = np.unique(keys, return_index=True, return_inverse=True)
    if len(firsts) < len(matrix):
        same = np.concatenate([_equal(matrix, i, firsts[group[i : i + _ROWS]]) for i in range(0, len(matrix), _ROWS)])
        group = np.where(same, group, len(firsts) + np.arange(len(matrix)))  # two rows of one hash: each for itself
        _, firsts, group = np.unique(group, return_index=True, return_inverse=True)
    order = np.argsort(firsts, kind="stable")  # groups by their first rows
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    group = rank[group]
    starts = np.concatenate(([0], np.cumsum(np.bincount(group, minlength=len(firsts)))))
    return Distinct(firsts[order].astype(np.int64), np.argsort(group, kind="stable"), starts.astype(np.int64))


def _equal(matrix: Matrix, first: int, others: Places) -> npt.NDArray[np.bool_]:
    return np.asarray((matrix[first : first + len(others)] == matrix[others]).all(axis=1))


def _hashes(matrix: Matrix) -> npt.NDArray[np.uint64]:
    """[rows] sums of the bits of the values, each times an odd random number of its own."""
    bits = matrix.view(np.uint32 if matrix.dtype == np.float32 else np.uint64)
    factors = np.random.default_rng(0).integers(0, 2**63, matrix.shape[1], dtype=np.uint64) | np.uint64(1)
    parts = [bits[i : i + _ROWS].astype(np.uint64) @ factors for i in range(0, len(matrix), _ROWS)]
    return np.concatenate([np.empty(0, np.uint64), *parts])

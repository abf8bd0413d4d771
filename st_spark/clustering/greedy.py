"""Choose communities from pairs of similar rows: the largest neighbourhood first, as sentence-transformers does.

Memory holds some 20 bytes for each pair, and some 30 for each row.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Communities:
    """Communities, the largest first; of equal sizes the one that was chosen first."""

    centres: Numbers  # [communities] the central row of each
    cluster: Numbers  # [rows] the community of each row, -1 for none


def choose_communities(weights: Numbers, left: Numbers, right: Numbers, min_size: int) -> Communities:
    """Choose communities.

    The neighbourhood of a row is the row itself and all rows that are in a pair with it. Neighbourhoods of at least
    `min_size` rows are taken in the order of their size; of equal sizes the smaller row number comes first. Each
    becomes a community without the rows that are in one already, if its central row is free and enough rows are left.

    Args:
        weights: [rows] how many rows of the table a row counts for.
        left: [pairs] the number of one row of each pair; each pair comes once.
        right: [pairs] the number of the other row.
        min_size: The smallest community.
    """
    sizes = weights + _sums(left, weights[right], len(weights)) + _sums(right, weights[left], len(weights))
    large = sizes >= min_size
    after, before = _neighbours(left, right, large), _neighbours(right, left, large)
    candidates = np.flatnonzero(large)
    free = np.ones(len(weights), dtype=bool)
    cluster, centres, counts = np.full(len(weights), -1, np.int32), list[int](), list[int]()
    for row in candidates[np.argsort(-sizes[candidates], kind="stable")].tolist():
        if free[row]:
            near = np.concatenate([each.indices[each.indptr[row] : each.indptr[row + 1]] for each in (after, before)])
            near = near[free[near]]
            count = int(weights[row] + weights[near].sum())
            if count >= min_size:
                near = np.append(near, row)
                free[near], cluster[near] = False, len(centres)
                centres.append(row)
                counts.append(count)
    return _largest_first(np.array(centres, np.int32), np.array(counts, np.int64), cluster)


def _sums(rows: Numbers, weights: Numbers, size: int) -> npt.NDArray[np.int64]:
    """Return the sum of the weights of each row, [size]. Float64 sums of whole numbers are exact."""
    return np.bincount(rows, weights, minlength=size).astype(np.int64)


def _neighbours(rows: Numbers, others: Numbers, large: npt.NDArray[np.bool_]) -> csr_array:
    """Return the other rows of each large row, as the column numbers of a sparse matrix."""
    kept = large[rows]
    rows, others = rows[kept], others[kept]
    return csr_array((np.ones(len(rows), np.int8), (rows, others)), shape=(len(large), len(large)))


def _largest_first(centres: Numbers, counts: npt.NDArray[np.int64], cluster: Numbers) -> Communities:
    order = np.argsort(-counts, kind="stable")
    place = np.append(np.argsort(order), -1).astype(np.int32)  # the last one is for -1
    return Communities(centres[order], place[cluster])

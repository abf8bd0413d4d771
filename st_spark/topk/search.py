"""Exact top-k of two matrices: quantised products find candidates, and float64 scores decide.

The result is the same as comparing every pair in float64, including ties, for any tiles, threads or device.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace

import numpy as np

from st_spark.topk.candidates import RowMapping, TopKCollector
from st_spark.topk.clusters import Clusters, ClusterScan, find_clusters
from st_spark.topk.inverted_lists import ListScan, Probes
from st_spark.topk.pairs import Pairs
from st_spark.topk.scan import Query, collect, collect_above, full_scans
from st_spark.topk.scores import Matrix, Places, Scores, chunks, lowest_values, rescaled, to_scores
from st_spark.topk.settings import DEFAULTS, Settings
from st_spark.topk.unique_rows import UniqueRows, unique_rows


def top_k(
    left: Matrix,
    right: Matrix,
    k: int,
    score: str,
    *,
    threshold: float | Scores | None = None,
    self_index: Places | None = None,
    probes: Probes | None = None,
    settings: Settings = DEFAULTS,
) -> Pairs:
    """Find the k best right rows of each left row.

    Args:
        left: [n, d] finite vectors, none of length zero for cosine.
        right: [m, d] vectors; of equal scores the first one is better.
        k: How many, 1 or more; all, if there are fewer.
        score: One of "cosine", "dot" and "euclidean".
        threshold: Return only pairs with at least this score; or [n] one for each left row, the same for equal rows.
        self_index: [n] row number in `right` of the same row, or -1: a row is no neighbour of itself.
        probes: Search each left row in these inverted lists only.
        settings: See Settings.
    """
    wanted = k + (self_index is not None)
    search = _Search(left, right, wanted, score, threshold, settings, group_left=probes is None)
    query = search.query
    if probes is not None and len(query.left) and len(query.right):
        pairs = collect([ListScan(query, probes.of_right[search.columns.representatives], probes)], query)
    else:
        pairs, _ = _best(query)
    return search.finished(pairs, k, self_index)


def top_k_both(
    left: Matrix, right: Matrix, k: int, score: str, *, settings: Settings = DEFAULTS
) -> tuple[Pairs, Pairs]:
    """Find the k best right rows of each left row, and the k best left rows of each right row.

    In a full scan each product serves both directions. In the second result, `left` is the right row.
    """
    search = _Search(left, right, k, score, None, settings)
    forward, backward = _best(replace(search.query, both=True))
    return search.finished(forward, k), search.swapped().finished(backward, k)


def above(
    left: Matrix, right: Matrix, threshold: float, score: str, *, self_join: bool = False, settings: Settings = DEFAULTS
) -> Pairs:
    """Find every pair with a score of at least the threshold; for the arguments see top_k().

    In a self join both sides are the same rows, and each pair comes once, with the smaller row number left.
    """
    parts = above_by_parts(left, right, threshold, score, self_join=self_join, settings=settings)
    return Pairs.concat(list(parts)).sorted()


def above_by_parts(
    left: Matrix, right: Matrix, threshold: float, score: str, *, self_join: bool = False, settings: Settings = DEFAULTS
) -> Iterator[Pairs]:
    """Do the same as above() without holding all pairs in memory: some pairs at a time, unsorted."""
    if not len(left) or not len(right):
        return
    search = _Search(left, right, None, score, threshold, settings)
    query = replace(search.query, self_join=self_join)
    clusters = find_clusters(query)
    for found in collect_above(_cluster_scans(clusters, query) if clusters else full_scans(query), query):
        pairs = search.expanded(found)
        pairs = pairs.take(np.flatnonzero(pairs.score >= search.lowest[pairs.left]))
        pairs = _once(pairs) if self_join else pairs
        yield Pairs(pairs.left, pairs.right, pairs.score / search.unit)


class _Search:
    """Rows as they were given, and the query for the groups of equal rows, which are compared once."""

    def __init__(
        self,
        left: Matrix,
        right: Matrix,
        k: int | None,
        score: str,
        threshold: float | Scores | None,
        settings: Settings,
        *,
        group_left: bool = True,
    ) -> None:
        left, right, self.unit = rescaled(left, right, score)  # the factor of the scores
        # [n] the lowest score that is wanted of each left row
        self.lowest = np.full(len(left), -np.inf if threshold is None else threshold) * self.unit
        self.rows = unique_rows(left) if group_left else UniqueRows.each(len(left))
        self.columns = unique_rows(right)
        thresholds = lowest_values(self.rows.of(self.lowest), score)
        self.query = Query(self.rows.of(left), self.columns.of(right), k, score, thresholds, settings)

    def swapped(self) -> "_Search":
        """Return the search of the other direction."""
        other = copy(self)
        other.rows, other.columns = self.columns, self.rows
        other.lowest = np.full(len(other.rows.group_rows), -np.inf)
        return other

    def expanded(self, pairs: Pairs) -> Pairs:
        """Turn pairs of groups, with values, into pairs of rows with scores, at least the k best of each row."""
        limit = self.query.k
        pairs = Pairs(pairs.left, pairs.right, to_scores(pairs.score, self.query.score))
        if not self.columns.all_differ:
            which, right = self.columns.expand(pairs.right, limit)
            pairs = Pairs(pairs.left[which], right, pairs.score[which])
            if limit is not None:
                pairs = pairs.sorted().first(limit)
        if not self.rows.all_differ:
            which, left = self.rows.expand(pairs.left)
            pairs = Pairs(left, pairs.right[which], pairs.score[which])
        return pairs

    def finished(self, pairs: Pairs, k: int, self_index: Places | None = None) -> Pairs:
        """Return the k best pairs of each row in order, with scores of the rows as they were given."""
        pairs = self.expanded(pairs)
        good = pairs.score >= self.lowest[pairs.left]
        if self_index is not None:
            good &= pairs.right != self_index[pairs.left]
        pairs = pairs.take(np.flatnonzero(good)).sorted().first(k)
        return Pairs(pairs.left, pairs.right, pairs.score / self.unit)


def _best(query: Query) -> tuple[Pairs, Pairs]:
    """Find the k best columns of each row and, if asked, the k best rows of each column; unsorted, with values."""
    left, right, nothing = query.left, query.right, Pairs.concat([])
    if not len(left) or not len(right):
        return nothing, nothing
    clusters = find_clusters(query)
    if clusters is not None:
        swapped = replace(query, left=right, right=left, thresholds=np.full(len(right), -np.inf), both=False)
        return collect(_cluster_scans(clusters, query), query), _best(swapped)[0] if query.both else nothing
    scans = full_scans(query)
    if not query.both:
        return collect(scans, query), nothing
    mapping = RowMapping(query.rescore, scans[0].tiles.right.order, np.arange(len(left)), swapped=True)
    column_topk = TopKCollector(query.k or 1, np.full(len(right), -np.inf), mapping, query.settings.max_held)
    return collect(scans, query, column_topk), column_topk.result()


def _cluster_scans(clusters: Clusters, query: Query) -> Iterator[ClusterScan]:
    rows = query.settings.cluster_rows
    parts = chunks(len(query.left), rows if query.k is not None else max(rows // 8, 1))
    return (ClusterScan(clusters, query, part) for part in parts)


def _once(pairs: Pairs) -> Pairs:
    """Keep one of (a, b) and (b, a), with the smaller row number left, and no row with itself."""
    first, second = np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)
    pairs = Pairs(first, second, pairs.score).take(np.flatnonzero(first < second)).sorted()
    again = (np.diff(pairs.left, prepend=-1) == 0) & (np.diff(pairs.right, prepend=-1) == 0)
    return pairs.take(np.flatnonzero(~again))

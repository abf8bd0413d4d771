"""Exact top-k of two matrices: quantised products find candidates, and float64 scores decide.

The result is the same as comparing every pair in float64, including ties, for any tiles, threads or device.
"""

from collections.abc import Iterator

import numpy as np

from st_spark.topk import cluster_scan, full_scan
from st_spark.topk.pairs import Pairs
from st_spark.topk.scores import Matrix, Places, Scores, minus_rounding, rescaled, to_scores, to_values
from st_spark.topk.settings import DEFAULTS, Settings
from st_spark.topk.unique_rows import UniqueRows, unique_rows


def top_k(
    left: Matrix,
    right: Matrix,
    k: int,
    score: str,
    *,
    threshold: float | None = None,
    self_index: Places | None = None,
    row_thresholds: Scores | None = None,
    settings: Settings = DEFAULTS,
) -> Pairs:
    """Find the k best right rows of each left row.

    Args:
        left: [n, d] finite vectors, none of length zero for cosine.
        right: [m, d] vectors; of equal scores the first one is better.
        k: How many, 1 or more; all, if there are fewer.
        score: One of "cosine", "dot" and "euclidean".
        threshold: Return only pairs with at least this score.
        self_index: [n] row number in `right` of the same row, or -1: a row is no neighbour of itself.
        row_thresholds: [n] lowest score that is wanted of each row.
        settings: See Settings.
    """
    left, right, unit = rescaled(left, right, score)
    lowest = np.full(len(left), -np.inf if threshold is None else threshold) * unit
    lowest = lowest if row_thresholds is None else np.maximum(lowest, row_thresholds * unit)
    rows, columns = unique_rows(left), unique_rows(right)
    wanted = k + (self_index is not None)
    of_groups = np.minimum.reduceat(lowest[rows.group_rows], rows.starts[:-1]) if len(left) else lowest
    thresholds = to_values(minus_rounding(of_groups), score)
    pairs, _ = _best(rows.of(left), columns.of(right), wanted, score, thresholds, settings)
    pairs = _expanded(pairs, rows, columns, score, wanted)
    good = pairs.score >= lowest[pairs.left]
    if self_index is not None:
        good &= pairs.right != self_index[pairs.left]
    return _finished(pairs.take(np.flatnonzero(good)), k, unit)


def top_k_both(
    left: Matrix, right: Matrix, k: int, score: str, *, settings: Settings = DEFAULTS
) -> tuple[Pairs, Pairs]:
    """Find the k best right rows of each left row, and the k best left rows of each right row.

    Each product serves both directions. In the second result, `left` is the right row.
    """
    left, right, unit = rescaled(left, right, score)
    rows, columns = unique_rows(left), unique_rows(right)
    nothing = np.full(len(rows.representatives), -np.inf)
    forward, backward = _best(rows.of(left), columns.of(right), k, score, nothing, settings, both=True)
    return (
        _finished(_expanded(forward, rows, columns, score, k), k, unit),
        _finished(_expanded(backward, columns, rows, score, k), k, unit),
    )


def above(
    left: Matrix, right: Matrix, threshold: float, score: str, *, self_join: bool = False, settings: Settings = DEFAULTS
) -> Pairs:
    """Find every pair with a score of at least the threshold.

    Args:
        left: [n, d] finite vectors, none of length zero for cosine.
        right: [m, d] vectors.
        threshold: Lowest score.
        score: One of "cosine", "dot" and "euclidean".
        self_join: Whether both sides are the same rows: each pair once, with the smaller row number left.
        settings: See Settings.
    """
    parts = above_by_parts(left, right, threshold, score, self_join=self_join, settings=settings)
    return Pairs.concat(list(parts)).sorted()


def above_by_parts(
    left: Matrix, right: Matrix, threshold: float, score: str, *, self_join: bool = False, settings: Settings = DEFAULTS
) -> Iterator[Pairs]:
    """Do the same as above() without holding all pairs in memory: some pairs at a time, unsorted."""
    left, right, unit = rescaled(left, right, score)
    rows, columns = unique_rows(left), unique_rows(right)
    for found in _above(rows.of(left), columns.of(right), threshold * unit, score, self_join, settings):
        pairs = _expanded(found, rows, columns, score, None)
        pairs = pairs.take(np.flatnonzero(pairs.score >= threshold * unit))
        pairs = _once(pairs) if self_join else pairs
        yield Pairs(pairs.left, pairs.right, pairs.score / unit)


def _best(
    left: Matrix, right: Matrix, k: int, score: str, thresholds: Scores, settings: Settings, *, both: bool = False
) -> tuple[Pairs, Pairs]:
    """Find the k best columns of different rows and, if asked, rows of columns; unsorted, with values."""
    if not len(left) or not len(right):
        return Pairs.concat([]), Pairs.concat([])
    clusters = cluster_scan.find_clusters(left, right, k, score, thresholds, settings)
    if clusters is None:
        return full_scan.top_k(left, right, k, score, thresholds, settings, both=both)
    return cluster_scan.top_k(clusters, left, k, thresholds, settings, both=both)


def _above(
    left: Matrix, right: Matrix, threshold: float, score: str, self_join: bool, settings: Settings
) -> Iterator[Pairs]:
    """Find all pairs of different rows that may reach a score; in a self join one of (a, b) and (b, a)."""
    if not len(left) or not len(right):
        return
    thresholds = to_values(minus_rounding(np.full(len(left), threshold)), score)
    lowest = float(thresholds[0])
    clusters = cluster_scan.find_clusters(left, right, None, score, thresholds, settings)
    if clusters is None:
        yield from full_scan.above(left, right, lowest, score, settings, self_join=self_join)
        return
    yield from cluster_scan.above(clusters, left, lowest, settings, self_join=self_join)


def _expanded(pairs: Pairs, rows: UniqueRows, columns: UniqueRows, score: str, limit: int | None) -> Pairs:
    """Turn pairs of groups of equal rows, with values, into pairs of rows with scores, at most `limit` of each row."""
    pairs = Pairs(pairs.left, pairs.right, to_scores(pairs.score, score))
    if not columns.all_differ:
        which, right = columns.expand(pairs.right, limit)
        pairs = Pairs(pairs.left[which], right, pairs.score[which])
        if limit is not None:
            pairs = pairs.sorted().first(limit)
    if not rows.all_differ:
        which, left = rows.expand(pairs.left)
        pairs = Pairs(left, pairs.right[which], pairs.score[which])
    return pairs


def _finished(pairs: Pairs, k: int, unit: float) -> Pairs:
    """Return the k best pairs of each row in order, with scores of the rows as they were given."""
    pairs = pairs.sorted().first(k)
    return Pairs(pairs.left, pairs.right, pairs.score / unit)


def _once(pairs: Pairs) -> Pairs:
    """Keep one of (a, b) and (b, a), with the smaller row number left, and no row with itself."""
    first, second = np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)
    pairs = Pairs(first, second, pairs.score).take(np.flatnonzero(first < second)).sorted()
    again = (np.diff(pairs.left, prepend=-1) == 0) & (np.diff(pairs.right, prepend=-1) == 0)
    return pairs.take(np.flatnonzero(~again))

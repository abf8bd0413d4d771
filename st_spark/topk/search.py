"""The best pairs of two sets of vectors, exactly: candidates from few bits, survivors scored again in float64.

What comes out is what a float64 comparison of every pair gives, ties and all, whatever the tiles, threads or device.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from st_spark.topk import full_scan
from st_spark.topk.candidates import Best, Pairing
from st_spark.topk.cluster_scan import Nearby
from st_spark.topk.pairs import Pairs
from st_spark.topk.products import lowered
from st_spark.topk.quantized import pieces
from st_spark.topk.scores import Matrix, Places, Rescorer, Scores, leveled
from st_spark.topk.trial import caps_for
from st_spark.topk.unique_rows import Distinct, distinct

# Rows that are met by caps at a time.
_HELD = 1 << 16


def top_k(
    left: Matrix,
    right: Matrix,
    k: int,
    score: str,
    *,
    threshold: float | None = None,
    twins: Places | None = None,
    floor: Scores | None = None,
) -> Pairs:
    """The k best rows of the right side for each row of the left one.

    Args:
        left: [n, d] vectors as vectors.checked gives them.
        right: [m, d] vectors; of equal scores the one that stands first is better.
        k: How many, 1 or more; all, where there are fewer.
        score: One of vectors.SCORES.
        threshold: Only pairs with at least this score.
        twins: [n] the place in `right` of the very same row, or -1: a row is no neighbour of itself.
        floor: [n] scores below which pairs of a row are not wanted.
    """
    left, right, unit = leveled(left, right, score)
    need = np.full(len(left), -np.inf if threshold is None else threshold) * unit
    need = need if floor is None else np.maximum(need, floor * unit)
    rows, columns = distinct(left), distinct(right)
    wanted = k + (twins is not None)
    least = np.minimum.reduceat(need[rows.members], rows.starts[:-1]) if len(need) else need
    pairs, _ = _best(rows.of(left), columns.of(right), wanted, score, least, None)
    pairs = _expanded(pairs, rows, columns, wanted)
    good = pairs.score >= need[pairs.left]
    if twins is not None:
        good &= pairs.right != twins[pairs.left]
    return pairs.taken(np.flatnonzero(good)).sorted().first(k).times(1 / unit)


def top_k_both(left: Matrix, right: Matrix, k: int, score: str) -> tuple[Pairs, Pairs]:
    """The k best right rows of each left row, and the k best left rows of each right row, which is `left` there.

    Products are computed once for both.
    """
    left, right, unit = leveled(left, right, score)
    rows, columns = distinct(left), distinct(right)
    nothing = [np.full(len(side.firsts), -np.inf) for side in (rows, columns)]
    forward, backward = _best(rows.of(left), columns.of(right), k, score, nothing[0], nothing[1])
    return (
        _expanded(forward, rows, columns, k).sorted().first(k).times(1 / unit),
        _expanded(backward, columns, rows, k).sorted().first(k).times(1 / unit),
    )


def above(left: Matrix, right: Matrix, threshold: float, score: str, *, upper: bool = False) -> Pairs:
    """Every pair with a score of at least the threshold.

    Args:
        left: [n, d] vectors as vectors.checked gives them.
        right: [m, d] vectors.
        threshold: The least score.
        score: One of vectors.SCORES.
        upper: Both sides are the same rows: each pair once, the left place before the right one.
    """
    return Pairs.joined(list(above_by_parts(left, right, threshold, score, upper=upper))).sorted()


def above_by_parts(
    left: Matrix, right: Matrix, threshold: float, score: str, *, upper: bool = False
) -> Iterator[Pairs]:
    """above() without all pairs in memory: those of some rows at a time, in no order."""
    left, right, unit = leveled(left, right, score)
    threshold *= unit
    rows, columns = distinct(left), distinct(right)
    for part in _all(rows.of(left), columns.of(right), threshold, score, upper):
        pairs = _expanded(part.taken(np.flatnonzero(part.score >= threshold)), rows, columns, None)
        yield (_once(pairs) if upper else pairs).times(1 / unit)


def _once(pairs: Pairs) -> Pairs:
    """Of a, b and b, a only the one with the smaller place left, and no row with itself."""
    first, second = np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)
    pairs = Pairs(first, second, pairs.score).taken(np.flatnonzero(first < second)).sorted()
    again = (np.diff(pairs.left, prepend=-1) == 0) & (np.diff(pairs.right, prepend=-1) == 0)
    return pairs.taken(np.flatnonzero(~again))


def _expanded(pairs: Pairs, rows: Distinct, columns: Distinct, most: int | None) -> Pairs:
    """Pairs of groups of equal rows as pairs of rows."""
    if not columns.all_differ:
        which, right = columns.expanded(pairs.right, most)
        pairs = Pairs(pairs.left[which], right, pairs.score[which])
        if most is not None:
            pairs = pairs.sorted().first(most)
    if not rows.all_differ:
        which, left = rows.expanded(pairs.left)
        pairs = Pairs(left, pairs.right[which], pairs.score[which])
    return pairs


def _best(left: Matrix, right: Matrix, k: int, score: str, need: Scores, back: Scores | None) -> tuple[Pairs, Pairs]:
    """The k best columns of distinct rows and, where `back` says what they need, rows of columns; not sorted."""
    if not len(left) or not len(right):
        return Pairs.joined([]), Pairs.joined([])
    if (caps := caps_for(left, right, k, score, need)) is None:
        return full_scan.nearest(left, right, k, score, need, back)
    order, rescore = caps.rows.order, Rescorer(left, right, score)
    behind = Best(k, np.full(len(right), -np.inf), Pairing(rescore, order, np.arange(len(left)), turned=True))
    forward, backward = [], []
    for part in pieces(len(left), _HELD):
        nearby = Nearby(caps, left[part], k, lowered(need[part]), None if back is None else behind.need)
        rows = part.start + nearby.order
        ours, theirs = nearby.candidates()
        ahead = Best(k, nearby.need, Pairing(rescore, rows, order))
        ahead.add(ours)
        far = _of_wide(nearby, left, right, rows, k)
        forward += [ahead.result(), far[0]]
        if nearby.back is not None:
            np.maximum(behind.need, nearby.back, out=behind.need)
            behind.add(replace(theirs, columns=rows[theirs.columns]))
            behind.tighten()
            backward.append(far[1])
    return Pairs.joined(forward), Pairs.joined([*backward, behind.result()])


def _of_wide(nearby: Nearby, left: Matrix, right: Matrix, rows: Places, k: int) -> tuple[Pairs, Pairs]:
    """The best of some rows, which looked nearby, among the columns that have no candidates there; and of these."""
    places = nearby.wide()
    if not len(places):
        return Pairs.joined([]), Pairs.joined([])
    columns = nearby.caps.rows.order[places]
    back = None if nearby.back is None else nearby.back[places]
    ahead, behind = full_scan.nearest(left[rows], right[columns], k, nearby.caps.score, nearby.need, back)
    forward = Pairs(rows[ahead.left], columns[ahead.right], ahead.score)
    return forward, Pairs(columns[behind.left], rows[behind.right], behind.score)


def _all(left: Matrix, right: Matrix, threshold: float, score: str, upper: bool) -> Iterator[Pairs]:
    """All pairs of distinct rows that may have a score, and few others; with `upper` one of (a, b) and (b, a)."""
    if not len(left) or not len(right):
        return
    needed = np.full(len(left), threshold)
    if (caps := caps_for(left, right, None, score, needed)) is None:
        yield from full_scan.above(left, right, threshold, score, upper=upper)
        return
    rescore = Rescorer(left, right, score)
    for part in pieces(len(left), _HELD // 8):
        nearby = Nearby(caps, left[part], None, lowered(needed[part]))
        found, _ = nearby.candidates()
        rows, columns = part.start + nearby.order[found.rows], caps.rows.order[found.columns]
        once = np.flatnonzero(rows <= columns) if upper else slice(None)
        yield Pairs(rows[once], columns[once], rescore(rows[once], columns[once]))

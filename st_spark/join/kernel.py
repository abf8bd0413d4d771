"""The best pairs of two sets of vectors, exactly: candidates from few bits, survivors scored again in float64.

What comes out is what a float64 comparison of every pair gives, ties and all, whatever the tiles, threads or device.
"""

from collections.abc import Iterator

import numpy as np

from st_spark.join.balls import balls
from st_spark.join.candidates import Best, Candidates, Depth, joined, stripe
from st_spark.join.caps import Caps, pieces
from st_spark.join.codes import GROUP
from st_spark.join.distinct import Distinct, distinct
from st_spark.join.nearby import Nearby, caps_for
from st_spark.join.pairs import Pairs
from st_spark.join.products import ROUNDING, Sides, factors, lowered, sides
from st_spark.join.scores import Places, Rescorer, Scores
from st_spark.join.tiles import COLUMNS
from st_spark.join.vectors import Matrix

# Rows of a tile: with its columns it stays in the last cache.
_ROWS = 512
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
    need = np.full(len(left), -np.inf if threshold is None else threshold)
    need = need if floor is None else np.maximum(need, floor)
    rows, columns = distinct(left), distinct(right)
    wanted = k + (twins is not None)
    least = np.minimum.reduceat(need[rows.members], rows.starts[:-1]) if len(need) else need
    pairs = _best(rows.of(left), columns.of(right), wanted, score, least)
    pairs = _expanded(pairs, rows, columns, wanted)
    good = pairs.score >= need[pairs.left]
    if twins is not None:
        good &= pairs.right != twins[pairs.left]
    return pairs.taken(np.flatnonzero(good)).sorted().first(k)


def top_k_both(left: Matrix, right: Matrix, k: int, score: str) -> tuple[Pairs, Pairs]:
    """The k best right rows of each left row, and the k best left rows of each right row, which is `left` there.

    Each direction computes the few products that it needs. To compute all of them once for both was measured, too: it
    takes a tenth less time where no pair can be left out, and two fifths more where clusters keep most apart.
    """
    return top_k(left, right, k, score), top_k(right, left, k, score)


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
    rows, columns = distinct(left), distinct(right)
    for part in _all(rows.of(left), columns.of(right), threshold, score, upper):
        pairs = _expanded(part.taken(np.flatnonzero(part.score >= threshold)), rows, columns, None)
        yield _once(pairs) if upper else pairs


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


def _best(left: Matrix, right: Matrix, k: int, score: str, needed: Scores) -> Pairs:
    """The k best of distinct rows; not sorted."""
    if not len(left) or not len(right):
        return Pairs.joined([])
    rescore = Rescorer(left, right, score)
    if (caps := caps_for(left, right, k, score, needed)) is not None:
        return Pairs.joined(
            [_k_best(*_nearby(caps, left, part, k, needed), k, rescore) for part in pieces(len(left), _HELD)]
        )
    ready = sides(left, right, score)
    stripes = pieces(len(left), _ROWS)
    need = np.concatenate([ready.least(part, needed[ready.left_order[part]]) for part in stripes])
    known = joined([_raised(need, ready, part, k, rescore) for part in stripes] if score != "euclidean" else [])
    # Rows of equal need together: how little of the vectors must be multiplied depends on it.
    order = np.argsort(-need, kind="stable")
    ready, need, known = ready.reordered(order), need[order], known.reordered(order)
    starts = np.searchsorted(known.rows, np.arange(0, len(left) + _ROWS, _ROWS))
    depth = Depth(whole=score == "euclidean" or len(right) <= COLUMNS)
    parts = []
    for place, part in enumerate(stripes):
        best = Best(ready.product, part, k, need[part], None if score == "euclidean" else ready.strangers)
        best.take(known.taken(slice(*starts[place : place + 2])).of(-part.start))
        found = stripe(best, ready.product.spans(), depth)
        parts.append(_k_best(found, (ready.left_order[part], ready.right_order), k, rescore))
    return Pairs.joined(parts)


def _raised(need: Scores, ready: Sides, part: slice, k: int, rescore: Rescorer) -> Candidates:
    """Raises what rows need to the exact scores of the k best of their neighbourhoods, most of which are the best.

    Returns:
        What can be among the best of all there.
    """
    parts = []
    for rows, spans in ready.seeds(part):
        best = Best(ready.product, rows, k, need[rows], ready.kin)
        for span in spans:
            best.whole(span)
        found = best.result()
        head = found.taken(found.ranks() < k)
        scores = rescore(ready.left_order[rows][head.rows], ready.right_order[head.columns])
        least = np.full(rows.stop - rows.start, np.inf)
        np.minimum.at(least, head.rows, scores - np.abs(scores) * ROUNDING - ROUNDING)
        least[np.bincount(head.rows, minlength=len(least)) < k] = -np.inf
        need[rows] = np.maximum(need[rows], least)
        parts.append(found.taken(found.most >= need[rows][found.rows]).of(rows.start))
    return joined(parts)


def _nearby(
    caps: Caps, left: Matrix, part: slice, k: int | None, needed: Scores
) -> tuple[Candidates, tuple[Places, Places]]:
    """The candidates of some rows, where few pairs can be good enough, and what their rows and columns stand for."""
    nearby = Nearby(caps, left[part], k, lowered(needed[part]))
    return nearby.candidates(), (part.start + nearby.order, caps.rows.order)


def _k_best(found: Candidates, orders: tuple[Places, Places], k: int, rescore: Rescorer) -> Pairs:
    """The k best of each row of a stripe.

    The exact scores of the first k show what the others must be able to reach, which few are.

    Args:
        found: Sorted.
        orders: The rows of both sides that the candidates' rows and columns stand for.
        k: How many.
        rescore: Of the rows of both sides.
    """
    left, right = orders
    ranks = found.ranks()
    head, tail = found.taken(ranks < k), found.taken(ranks >= k)
    scores = rescore(left[head.rows], right[head.columns])
    if len(tail.rows) and rescore.score != "euclidean":  # of which products are no scores
        least = np.full(len(left), np.finfo(np.float64).max)
        np.minimum.at(least, head.rows, scores)
        least -= np.abs(least) * ROUNDING + ROUNDING
        tail = tail.taken(tail.most >= least[tail.rows])
    scores = np.concatenate((scores, rescore(left[tail.rows], right[tail.columns])))
    rows, columns = np.concatenate((head.rows, tail.rows)), np.concatenate((head.columns, tail.columns))
    return Pairs(left[rows], right[columns], scores).sorted().first(k)


def _all(left: Matrix, right: Matrix, threshold: float, score: str, upper: bool) -> Iterator[Pairs]:
    """All pairs of distinct rows that may have a score, and few others; with `upper` one of (a, b) and (b, a)."""
    if not len(left) or not len(right):
        return
    rescore = Rescorer(left, right, score)
    needed = np.full(len(left), threshold)
    if (caps := caps_for(left, right, None, score, needed)) is not None:
        for part in pieces(len(left), _HELD // 8):
            found, orders = _nearby(caps, left, part, None, needed)
            rows, columns = orders[0][found.rows], orders[1][found.columns]
            once = np.flatnonzero(rows <= columns) if upper else slice(None)
            yield Pairs(rows[once], columns[once], rescore(rows[once], columns[once]))
        return
    ready = sides(left, right, score, same=upper)
    left_order = ready.left_order
    depth = Depth(whole=score == "euclidean" or len(right) <= COLUMNS)
    ours = balls(left, left_order, GROUP, factors(left, score))
    meet = ours.may_meet(balls(right, ready.right_order, GROUP, factors(right, score)), threshold, score)
    for first in range(0, len(left), GROUP):
        part = slice(first, min(first + GROUP, len(left)))
        spans = _spans(meet[first // GROUP], first // GROUP if upper else 0, len(right))
        need = ready.least(part, np.full(part.stop - first, threshold))
        found = stripe(Best(ready.product, part, None, need), spans, depth)
        rows, columns = left_order[part][found.rows], ready.right_order[found.columns]
        yield Pairs(rows, columns, rescore(rows, columns))


def _spans(meet: "np.ndarray[tuple[int], np.dtype[np.bool_]]", first: int, columns: int) -> list[tuple[int, int]]:
    """The columns that a stripe of rows may meet, from a ball on, in pieces of at most a tile."""
    spans: list[tuple[int, int]] = []
    for ball in np.flatnonzero(meet[first:]) + first:
        start, stop = int(ball) * GROUP, min(int(ball + 1) * GROUP, columns)
        if spans and spans[-1][1] == start and start % COLUMNS:
            spans[-1] = spans[-1][0], stop
        else:
            spans.append((start, stop))
    return spans

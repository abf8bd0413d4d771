"""The best pairs of two sets of vectors, exactly: candidates from few bits, survivors scored again in float64.

What comes out is what a float64 comparison of every pair gives, ties and all, whatever the tiles, threads or device.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from st_spark.join.balls import balls, gathered
from st_spark.join.candidates import Candidates, stripe
from st_spark.join.distinct import Distinct, distinct
from st_spark.join.products import ROUNDING, factors, sides
from st_spark.join.scores import Places, Rescorer, Scores
from st_spark.join.tiles import COLUMNS
from st_spark.join.vectors import Matrix

# Rows of a tile: with its columns it stays in the last cache.
_ROWS = 512
# Rows that share a ball, and so do columns.
_BALL = 512


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows.

    Attributes:
        left: [pairs] place in the left matrix, ascending.
        right: [pairs] place in the right matrix.
        score: [pairs] float64; descending for each left row, then by the right place.
    """

    left: Places
    right: Places
    score: Scores

    def taken(self, which: Places) -> "Pairs":
        """Some of the pairs."""
        return Pairs(self.left[which], self.right[which], self.score[which])

    def sorted(self) -> "Pairs":
        """In the order that is promised."""
        return self.taken(np.lexsort((self.right, -self.score, self.left)))

    def first(self, k: int) -> "Pairs":
        """The first k of each left row, of sorted pairs."""
        starts = np.flatnonzero(np.diff(self.left, prepend=-1))
        places = np.arange(len(self.left))
        return self.taken(np.flatnonzero(places - np.repeat(starts, np.diff(starts, append=len(places))) < k))


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
    pairs = _best(left[rows.firsts], right[columns.firsts], wanted, score, least)
    pairs = _expanded(pairs, rows, columns, wanted)
    good = pairs.score >= need[pairs.left]
    if twins is not None:
        good &= pairs.right != twins[pairs.left]
    return pairs.taken(np.flatnonzero(good)).sorted().first(k)


def above(left: Matrix, right: Matrix, threshold: float, score: str, *, upper: bool = False) -> Pairs:
    """Every pair with a score of at least the threshold.

    Args:
        left: [n, d] vectors as vectors.checked gives them.
        right: [m, d] vectors.
        threshold: The least score.
        score: One of vectors.SCORES.
        upper: Both sides are the same rows: each pair once, the left place before the right one.
    """
    return _joined(list(above_by_parts(left, right, threshold, score, upper=upper))).sorted()


def above_by_parts(
    left: Matrix, right: Matrix, threshold: float, score: str, *, upper: bool = False
) -> Iterator[Pairs]:
    """above() without all pairs in memory: those of some rows at a time, in no order."""
    rows, columns = distinct(left), distinct(right)
    for part in _all(left[rows.firsts], right[columns.firsts], threshold, score, upper):
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


def _best(left: Matrix, right: Matrix, k: int, score: str, need: Scores) -> Pairs:
    """The k best of distinct rows; not sorted."""
    parts = []
    if len(left) and len(right):
        ready = sides(left, right, score, None, None)
        rescore = Rescorer(left, right, score)
        for first in range(0, len(left), _ROWS):
            part = slice(first, min(first + _ROWS, len(left)))
            found = stripe(ready.product, part, k, ready.least(part, need[part]))
            parts.append(_k_best(found.of(first, ready.right_order), k, rescore))
    return _joined(parts)


def _k_best(found: Candidates, k: int, rescore: Rescorer) -> Pairs:
    """The k best of each row of a stripe.

    The exact scores of the first k show what the others must be able to reach, which few are.
    """
    ranks = found.ranks()
    head, tail = found.taken(ranks < k), found.taken(ranks >= k)
    scores = rescore(head.rows, head.columns)
    if len(tail.rows) and rescore.score != "euclidean":  # of which products are no scores
        base = head.rows[0]
        least = np.full(head.rows[-1] + 1 - base, np.finfo(np.float64).max)
        np.minimum.at(least, head.rows - base, scores)
        least -= np.abs(least) * ROUNDING + ROUNDING
        tail = tail.taken(tail.most >= least[tail.rows - base])
    scores = np.concatenate((scores, rescore(tail.rows, tail.columns)))
    rows, columns = np.concatenate((head.rows, tail.rows)), np.concatenate((head.columns, tail.columns))
    return Pairs(rows, columns, scores).sorted().first(k)


def _all(left: Matrix, right: Matrix, threshold: float, score: str, upper: bool) -> Iterator[Pairs]:
    """All pairs of distinct rows that may have a score, and few others; with `upper` one of (a, b) and (b, a)."""
    if not len(left) or not len(right):
        return
    pivots = right[:: -(-len(right) // max(len(right) // _BALL, 1))]
    left_order, right_order = gathered(left, pivots, score), gathered(right, pivots, score)
    ready = sides(left, right, score, left_order, right_order)
    rescore = Rescorer(left, right, score)
    ours = balls(left, left_order, _BALL, factors(left, score))
    meet = ours.may_meet(balls(right, right_order, _BALL, factors(right, score)), threshold, score)
    for first in range(0, len(left), _BALL):
        part = slice(first, min(first + _BALL, len(left)))
        spans = _spans(meet[first // _BALL], first // _BALL if upper else 0, len(right))
        need = ready.least(part, np.full(part.stop - first, threshold))
        found = stripe(ready.product, part, None, need, spans).of(first, right_order)
        rows = left_order[found.rows]
        yield Pairs(rows, found.columns, rescore(rows, found.columns))


def _spans(meet: "np.ndarray[tuple[int], np.dtype[np.bool_]]", first: int, columns: int) -> list[tuple[int, int]]:
    """The columns that a stripe of rows may meet, from a ball on, in pieces of at most a tile."""
    spans: list[tuple[int, int]] = []
    for ball in np.flatnonzero(meet[first:]) + first:
        start, stop = int(ball) * _BALL, min(int(ball + 1) * _BALL, columns)
        if spans and spans[-1][1] == start and start % COLUMNS:
            spans[-1] = spans[-1][0], stop
        else:
            spans.append((start, stop))
    return spans


def _joined(parts: Sequence[Pairs]) -> Pairs:
    none = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    parts = [none, *parts]
    left, right = (np.concatenate([getattr(part, side) for part in parts]) for side in ("left", "right"))
    return Pairs(left, right, np.concatenate([part.score for part in parts]))

"""The best pairs of two sets of vectors, exactly: candidates from few bits, survivors scored again in float64.

What comes out is what a float64 comparison of every pair gives, ties and all, whatever the tiles, threads or device.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from st_spark.join.candidates import Candidates, stripe
from st_spark.join.codes import encoded, fastest, largest
from st_spark.join.distinct import Distinct, distinct
from st_spark.join.scores import Places, Rescorer, Scores, lengths
from st_spark.join.tiles import COLUMNS, Product
from st_spark.join.vectors import Matrix

# Rows of a tile: with tiles.COLUMNS the tile stays in the last cache.
_ROWS = 512
# Float64 scores are off by less than this, relatively.
_ROUNDING = 1e-12


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
    lowest = np.minimum.reduceat(need[rows.members], rows.starts[:-1]) if len(need) else need
    pairs = _best(left[rows.firsts], right[columns.firsts], wanted, score, lowest)
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
    rows, columns = distinct(left), distinct(right)
    need = np.full(len(rows.firsts), threshold, dtype=np.float64)
    pairs = _best(left[rows.firsts], right[columns.firsts], None, score, need)
    pairs = _expanded(pairs.taken(np.flatnonzero(pairs.score >= threshold)), rows, columns, None)
    return (pairs.taken(np.flatnonzero(pairs.left < pairs.right)) if upper else pairs).sorted()


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


def _best(left: Matrix, right: Matrix, k: int | None, score: str, need: Scores) -> Pairs:
    """The k best of distinct rows, or all pairs that may have the score that is needed; not sorted."""
    parts = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    if len(left) and len(right):
        product, order, need = _product(left, right, score, need)
        rescore = Rescorer(left, right, score)
        for first in range(0, len(left), _ROWS):
            stop = min(first + _ROWS, len(left))
            found = stripe(product, first, stop, k, need[first:stop])
            found = replace(found, columns=order[found.columns])
            if k is None:
                scores = rescore(found.rows + first, found.columns)
                parts.append(Pairs(found.rows + first, found.columns, scores))
            else:
                parts.append(_k_best(found, first, k, rescore))
    sides = zip(*((part.left, part.right, part.score) for part in parts), strict=True)
    return Pairs(*(np.concatenate(side) for side in sides))


def _k_best(found: Candidates, first: int, k: int, rescore: Rescorer) -> Pairs:
    """The k best of each row of a stripe.

    The exact scores of the first k show what the others must be able to reach, which few are.
    """
    ranks = found.ranks()
    head, tail = found.taken(ranks < k), found.taken(ranks >= k)
    scores = rescore(head.rows + first, head.columns)
    if len(tail.rows) and rescore.score != "euclidean":  # of which products are no scores
        least = np.full(head.rows[-1] + 1, np.inf)
        np.minimum.at(least, head.rows, scores)
        tail = tail.taken(tail.most >= least[tail.rows] - np.abs(least[tail.rows]) * _ROUNDING - _ROUNDING)
    rows, columns = (np.concatenate(side) for side in ((head.rows, tail.rows), (head.columns, tail.columns)))
    scores = np.concatenate((scores, rescore(tail.rows + first, tail.columns)))
    return Pairs(rows + first, columns, scores).sorted().first(k)


def _product(left: Matrix, right: Matrix, score: str, need: Scores) -> tuple[Product, Places, Scores]:
    """Products of codes of both sides, the order of the right one in them, and what is needed of a product."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    need = need - np.abs(np.where(np.isfinite(need), need, 0.0)) * _ROUNDING - _ROUNDING
    dtype = torch.float32 if score == "euclidean" else fastest(device)
    # In random order thresholds rise soon, however the rows are sorted.
    order = np.random.default_rng(0).permutation(len(right))
    if score == "euclidean":
        return _euclidean(left, right, need, order, device)
    factors = [1 / lengths(side) if score == "cosine" else np.ones(len(side)) for side in (left, right)]
    tops = [largest(side, factor) for side, factor in zip((left, right), factors, strict=True)]
    if dtype == torch.int8:  # neighbours, which share a scale, are of about one size
        order = order[np.argsort(tops[1][order], kind="stable")]
        ends = np.minimum((np.arange(len(right)) // COLUMNS + 1) * COLUMNS, len(right)) - 1
        tops[1] = tops[1][order][ends]
    rows = encoded(left, np.arange(len(left)), factors[0], tops[0], dtype)
    return Product(rows, encoded(right, order, factors[1], tops[1], dtype), device), order, need


def _euclidean(
    left: Matrix, right: Matrix, need: Scores, order: Places, device: torch.device
) -> tuple[Product, Places, Scores]:
    """|x - y| <= r where x y - y y / 2 >= (x x - r r) / 2; around the mean, where the numbers are small."""
    center = right.mean(axis=0, dtype=np.float64)
    x, y = left - center, right - center
    squares = (x * x).sum(axis=1)
    least = np.where(need > 0, np.inf, (squares - need * need) / 2)
    least = np.where(np.isneginf(need), -np.inf, least - _ROUNDING * squares)
    shift = torch.from_numpy(-(y * y).sum(axis=1) / 2)[order].float()
    codes = [
        encoded(side, places, np.ones(len(side)), np.ones(len(side)), torch.float32)
        for side, places in ((x, np.arange(len(x))), (y, order))
    ]
    return Product(codes[0], codes[1], device, shift), order, least

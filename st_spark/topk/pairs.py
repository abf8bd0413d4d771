"""Pairs of rows with their scores, in the order that joins promise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from st_spark.topk.scores import Places, Scores


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
        return self.taken(order_of(self.left, self.right, self.score))

    def times(self, factor: float) -> "Pairs":
        """The same with scores times a power of two."""
        return self if factor == 1.0 else Pairs(self.left, self.right, self.score * factor)

    def first(self, k: int) -> "Pairs":
        """The first k of each left row, of sorted pairs."""
        return self.taken(np.flatnonzero(ranks(self.left) < k))

    @staticmethod
    def joined(parts: "Sequence[Pairs]") -> "Pairs":
        """All of them, one part after the other."""
        none = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        parts = [none, *parts]
        left, right = (np.concatenate([getattr(part, side) for part in parts]) for side in ("left", "right"))
        return Pairs(left, right, np.concatenate([part.score for part in parts]))


def ranks(rows: Places) -> Places:
    """Return the index of each entry within its run of equal row numbers, from 0."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    return np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))


def order_of(left: Places, right: Places, score: Scores) -> Places:
    """The places of pairs, each there once, in the order that Pairs have."""
    # Two sorts of one key each are several times as fast as one of three, and equal scores are rare.
    by_score = np.argsort(-score)
    order = by_score[np.argsort((left[by_score] << 32) + np.arange(len(by_score)))]
    ties = (np.diff(left[order]) == 0) & (np.diff(score[order]) == 0) & (np.diff(right[order]) < 0)
    return np.lexsort((right, -score, left)) if ties.any() else order

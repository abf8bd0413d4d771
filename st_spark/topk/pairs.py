"""Pairs of rows with their scores, in the order that joins promise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from st_spark.topk.scores import Places, Scores


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows."""

    left: Places  # [pairs] row number in the left matrix, ascending
    right: Places  # [pairs] row number in the right matrix
    score: Scores  # [pairs] float64; descending for each left row, then by the right row number

    def take(self, which: Places) -> "Pairs":
        """Return some of the pairs."""
        return Pairs(self.left[which], self.right[which], self.score[which])

    def sorted(self) -> "Pairs":
        """Return the pairs in the promised order."""
        return self.take(pair_order(self.left, self.right, self.score))

    def first(self, k: int) -> "Pairs":
        """Return the first k pairs of each left row. The pairs must be sorted."""
        return self.take(np.flatnonzero(ranks(self.left) < k))

    @staticmethod
    def concat(parts: "Sequence[Pairs]") -> "Pairs":
        """Return all parts, one after the other."""
        parts = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)), *parts]
        return Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("left", "right", "score")))


def ranks(rows: Places) -> Places:
    """Return the index of each entry within its run of equal row numbers, from 0."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    return np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))


def pair_order(left: Places, right: Places, score: Scores) -> Places:
    """Return the order that Pairs promise. Each pair must be there once."""
    # Two sorts of one key each are several times as fast as one of three, and equal scores are rare.
    by_score = np.argsort(-score)
    order = by_score[np.argsort((left[by_score] << 32) + np.arange(len(by_score)))]
    ties = (np.diff(left[order]) == 0) & (np.diff(score[order]) == 0) & (np.diff(right[order]) < 0)
    return np.lexsort((right, -score, left)) if ties.any() else order

"""Pairs of rows with their scores, in the order that joins promise."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from st_spark.topk.scores import Places, Scores


class Columns:
    """Base of dataclasses of arrays that have the same length."""

    def take(self, which: npt.NDArray[np.generic]) -> Self:
        """Return some of the entries."""
        return type(self)(*(array[which] for array in vars(self).values()))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Return all parts, one after the other. The first two columns are row numbers, the others are scores."""
        count = len(fields(cls))  # type: ignore[arg-type]
        none = (np.empty(0, np.int64 if number < 2 else np.float64) for number in range(count))
        return cls(*map(np.concatenate, zip(none, *(vars(part).values() for part in parts), strict=True)))


@dataclass(frozen=True)
class Pairs(Columns):
    """Pairs of rows."""

    left: Places  # [pairs] row number in the left matrix, ascending
    right: Places  # [pairs] row number in the right matrix
    score: Scores  # [pairs] float64; descending for each left row, then by the right row number

    def sorted(self) -> "Pairs":
        """Return the pairs in the promised order. Each pair must be there once."""
        # Two sorts of one key each are several times as fast as one of three, and equal scores are rare.
        by_score = np.argsort(-self.score)
        order = by_score[np.argsort((self.left[by_score] << 32) + np.arange(len(by_score)))]
        left, right, score = self.left[order], self.right[order], self.score[order]
        ties = (np.diff(left) == 0) & (np.diff(score) == 0) & (np.diff(right) < 0)
        return self.take(np.lexsort((self.right, -self.score, self.left)) if ties.any() else order)

    def first(self, k: int) -> "Pairs":
        """Return the first k pairs of each left row. The pairs must be sorted."""
        return self.take(np.flatnonzero(ranks(self.left) < k))


def ranks(rows: Places) -> Places:
    """Return the index of each entry within its run of equal row numbers, from 0."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    return np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))

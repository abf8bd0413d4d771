"""What is made of a meeting: its best pairs, or all above a threshold, as Arrow batches. No Spark."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.blocks import Meeting, places_of
from st_spark.topk.pairs import Pairs
from st_spark.topk.search import above_by_parts, top_k

# What is made, instead of rows, of all pairs of a meeting: given the ids of both sides (the same array twice where
# rows meet each other) and the pairs, some at a time, as places among these ids.
Each = Callable[[pa.Array, pa.Array, Iterator[Pairs]], Iterator[pa.RecordBatch]]

# Neighbours that one call of the kernel holds; each call reads the whole right side, so it has some rows at least.
_PAIRS, _LEAST_ROWS = 1 << 22, 512
_ROWS_OF_A_BATCH = 1 << 20


@dataclass(frozen=True)
class Nearest:
    """The k best right rows of each left row.

    Attributes:
        k: How many, fewer where there are fewer.
        score: One of vectors.SCORES.
        threshold: Only pairs with this score or a higher one.
        itself: Whether both sides are one table, in which a row is no neighbour of itself.
        alone: Numbers of the meetings (of a table with itself) whose left rows meet each other.
        ranked: Whether to add the rank: no other meeting has pairs of these left rows.
    """

    k: int
    score: str
    threshold: float | None = None
    itself: bool = False
    alone: frozenset[int] = frozenset()
    ranked: bool = False

    def __call__(self, meeting: Meeting) -> Iterator[pa.RecordBatch]:
        """Batches of left_id, right_id, score (and rank)."""
        left = meeting.left
        right = left if meeting.number in self.alone else meeting.right
        twins = places_of(left.ids, right.ids) if self.itself else None
        rows = max(_LEAST_ROWS, _PAIRS // self.k)
        for start in range(0, len(left.ids) if len(right.ids) else 0, rows):
            part = slice(start, start + rows)
            pairs = top_k(
                left.matrix[part],
                right.matrix,
                min(self.k, len(right.ids)),
                self.score,
                threshold=self.threshold,
                self_index=None if twins is None else twins[part],
            )
            yield from batches(left.ids[part], right.ids, pairs, ranked=self.ranked)


@dataclass(frozen=True)
class Above:
    """All pairs with a score of at least the threshold.

    Attributes:
        threshold: The least score.
        score: One of vectors.SCORES.
        itself: Whether both sides are one table: each pair once, the smaller id left.
        alone: Numbers of the meetings (of a table with itself) whose left rows meet each other.
        each: What to make of the pairs; by default a row of each.
    """

    threshold: float
    score: str
    itself: bool = False
    alone: frozenset[int] = frozenset()
    each: Each | None = None

    def __call__(self, meeting: Meeting) -> Iterator[pa.RecordBatch]:
        """Batches of left_id, right_id, score; or what `each` gives."""
        alone = meeting.number in self.alone
        left = meeting.left.ids
        right = left if alone else meeting.right.ids
        if self.each is not None:
            yield from self.each(left, right, self._pairs(meeting, alone))
            return
        for pairs in self._pairs(meeting, alone):
            for batch in batches(left, right, pairs):
                yield _smaller_first(batch) if self.itself and not alone else batch

    def _pairs(self, meeting: Meeting, alone: bool) -> Iterator[Pairs]:
        left, right = meeting.left.matrix, meeting.left.matrix if alone else meeting.right.matrix
        for pairs in above_by_parts(left, right, self.threshold, self.score, self_join=alone):
            if len(pairs.left):
                yield pairs


def batches(left_ids: pa.Array, right_ids: pa.Array, pairs: Pairs, *, ranked: bool = False) -> Iterator[pa.RecordBatch]:
    """Pairs of places as rows: left_id, right_id, score, and if asked for rank (int, 1 for the first of a left row).

    Args:
        left_ids: Ids of the left places.
        right_ids: Ids of the right places.
        pairs: Sorted pairs.
        ranked: Whether to add the rank.
    """
    columns = {
        "left_id": left_ids.take(pa.array(pairs.left)),
        "right_id": right_ids.take(pa.array(pairs.right)),
        "score": pa.array(pairs.score + 0.0),  # no -0.0: Spark would tell it from 0.0
    }
    if ranked:
        starts = np.flatnonzero(np.diff(pairs.left, prepend=-1))
        lengths = np.diff(starts, append=len(pairs.left))
        columns["rank"] = pa.array((np.arange(len(pairs.left)) - np.repeat(starts, lengths) + 1).astype(np.int32))
    whole = pa.RecordBatch.from_pydict(columns)
    for start in range(0, len(whole), _ROWS_OF_A_BATCH):
        yield whole.slice(start, _ROWS_OF_A_BATCH)


def _smaller_first(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Each pair with the smaller id left."""
    left, right, score = batch.columns
    fine = pc.less(left, right)
    return pa.RecordBatch.from_arrays(
        [pc.if_else(fine, left, right), pc.if_else(fine, right, left), score], names=batch.schema.names
    )

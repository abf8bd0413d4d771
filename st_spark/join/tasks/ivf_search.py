"""A meeting of an approximate join to pairs: left rows search the cells that they carry. No Spark."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from st_spark.join.tasks.blocks import Meeting, Side, places_of
from st_spark.join.tasks.list_assignment import CELL, PROBES
from st_spark.join.tasks.merging import lists
from st_spark.topk.inverted_lists import Probes, search_lists
from st_spark.topk.scores import Places

# Left rows of one search: their pairs are in memory at once.
_PAIRS = 1 << 22


@dataclass(frozen=True)
class Searching:
    """The k best right rows of each left row, of those in the cells that it searches in this meeting.

    Attributes:
        k: How many.
        score: One of vectors.SCORES.
        threshold: Only pairs with this score or a higher one.
        itself: Whether one table is joined with itself: its rows are all left ones here, those with a cell right ones.
    """

    k: int
    score: str
    threshold: float | None
    itself: bool

    def __call__(self, meeting: Meeting) -> Iterator[pa.RecordBatch]:
        """Batches of left_id and lists of right_id and score; see merging.lists()."""
        left = meeting.left
        right = _those_with_cells(left) if self.itself else meeting.right
        cells = right.carried[CELL].to_numpy(zero_copy_only=False).astype(np.int64)
        twins = places_of(left.ids, right.ids) if self.itself else None
        size = max(_PAIRS // self.k, 1)
        for start in range(0, len(left.ids) if len(right.ids) else 0, size):
            part = slice(start, start + size)
            pairs = search_lists(
                left.matrix[part],
                right.matrix,
                cells,
                _visits(left.carried[PROBES][part]),
                self.k,
                self.score,
                threshold=self.threshold,
                self_index=None if twins is None else twins[part],
            )
            yield lists(left.ids[part], right.ids, pairs)


def _those_with_cells(side: Side) -> Side:
    if not side.carried[CELL].null_count:
        return side
    places: Places = np.flatnonzero(side.carried[CELL].is_valid().to_numpy(zero_copy_only=False))
    chosen = pa.array(places)
    return Side(side.ids.take(chosen), side.matrix[places], {CELL: side.carried[CELL].take(chosen)})


def _visits(probes: pa.Array) -> Probes:
    counts = probes.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return Probes(np.repeat(np.arange(len(counts)), counts), probes.flatten().to_numpy().astype(np.int64), rank)

"""What one task of an approximate join does: left rows search the inverted lists that they probe."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from st_spark.join.tasks.blocks import TaskInput, self_index
from st_spark.join.tasks.list_assignment import LIST, PROBES
from st_spark.join.tasks.results import left_slices, list_batch
from st_spark.topk.inverted_lists import Probes, search_lists
from st_spark.topk.pairs import ranks

# Pairs that one search holds.
_PAIRS = 1 << 22


@dataclass(frozen=True)
class IvfSearch:
    """Finds the k best right rows of each left row, in the lists that it probes in this task.

    In a self join all rows are in the left block, and the rows with a list are also right rows.
    """

    k: int
    score: str
    threshold: float | None
    self_join: bool

    def __call__(self, task: TaskInput) -> Iterator[pa.RecordBatch]:
        """Yield batches of left_id and the lists right_id and score; see results.list_batch()."""
        left, right = task.left, task.left if self.self_join else task.right
        if right.extra[LIST].null_count:
            right = right.take(np.flatnonzero(right.extra[LIST].is_valid().to_numpy(zero_copy_only=False)))
        lists = right.extra[LIST].to_numpy(zero_copy_only=False).astype(np.int64)
        own = self_index(left.ids, right.ids) if self.self_join else None
        for rows in left_slices(TaskInput(left, right), max(_PAIRS // self.k, 1)):
            pairs = search_lists(
                left.matrix[rows],
                right.matrix,
                lists,
                _probes(left.extra[PROBES][rows]),
                self.k,
                self.score,
                threshold=self.threshold,
                self_index=None if own is None else own[rows],
            )
            yield list_batch(left.ids[rows], right.ids, pairs)


def _probes(lists: pa.Array) -> Probes:
    counts = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    row = np.repeat(np.arange(len(counts)), counts)
    return Probes(row, lists.flatten().to_numpy().astype(np.int64), ranks(row))

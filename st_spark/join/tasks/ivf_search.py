"""What one task of an approximate join does: left rows search the inverted lists that they probe."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from st_spark.join.tasks.blocks import Block, TaskInput
from st_spark.join.tasks.list_assignment import LIST, PROBES
from st_spark.join.tasks.results import TopK
from st_spark.topk.inverted_lists import Probes
from st_spark.topk.pairs import ranks


@dataclass(frozen=True)
class IvfSearch(TopK):
    """Finds the k best right rows of each left row, in the lists that it probes in this task.

    In a self join all rows are in the left block, and the rows with a list are also right rows.
    """

    def __call__(self, task: TaskInput) -> Iterator[pa.RecordBatch]:
        """Yield batches as TopK does."""
        right = task.left if self.self_join else task.right
        if right.extra[LIST].null_count:
            right = right.take(np.flatnonzero(right.extra[LIST].is_valid().to_numpy(zero_copy_only=False)))
        yield from super().__call__(TaskInput(task.left, right))

    def probes(self, left: Block, right: Block) -> Probes:
        """Return the lists that the left rows probe, the best one of each row first."""
        lists, counts = left.extra[PROBES], left.extra[PROBES].value_lengths().to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(len(counts)), counts)
        of_right, probed = (each.to_numpy(zero_copy_only=False) for each in (right.extra[LIST], lists.flatten()))
        return Probes(of_right.astype(np.int64), row, probed.astype(np.int64), ranks(row))

"""Assign rows to the tasks of an approximate join.

Inverted lists that follow each other form a partition, which is searched in one task. Their centroids are near each
other (see kmeans.list_centroids()), and a left row probes lists that are near it. So it goes to few tasks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from st_spark.join.tasks.blocks import TASK
from st_spark.join.tasks.vector_column import pack, read_vectors
from st_spark.model.quantization import Form
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.pairs import ranks
from st_spark.topk.scores import Matrix, Places

Weights = npt.NDArray[np.float64]

# The list of a right row, the lists that a left row probes in this task (the best first), and a hash of the row's id.
LIST, PROBES, ROW_HASH = "_list", "_probes", "_row_hash"
# Vectors of a batch, in bytes.
_BATCH_BYTES = 1 << 24


@dataclass(frozen=True)
class ListTasks:
    """Which tasks the rows of a list go to.

    A partition is divided into blocks as in an exact join: a task compares a left block with a right block. Most
    partitions are one task. A list larger than a partition has several right blocks, and one that many left rows probe
    has several left blocks.
    """

    partition: Places  # [lists] the partition of a list
    left: Places  # [partitions] left blocks
    right: Places  # [partitions] right blocks

    @cached_property
    def first(self) -> Places:
        """The first task of each partition, and the number of all tasks."""
        return np.concatenate(([0], np.cumsum(self.left * self.right)))

    def of_right(self, lists: Places, row_hash: Places) -> tuple[Places, Places]:
        """Return the row number and the task of each copy of the right rows. `lists` and `row_hash` are [n]."""
        row, block = _repeated(self.left[self.partition[lists]])
        partition = self.partition[lists[row]]
        right = self.right[partition]
        return row, self.first[partition] + block * right + row_hash[row] % right

    def of_left(self, probes: Places, row_hash: Places) -> tuple[Places, Places, Places]:
        """Return the left row number, the task and the list of each search. `probes` is [n, nprobe]."""
        probe, block = _repeated(self.right[self.partition[probes.ravel()]])
        row, lists = probe // probes.shape[1], probes.ravel()[probe]
        partition = self.partition[lists]
        left_block = row_hash[row] % self.left[partition]
        return row, self.first[partition] + left_block * self.right[partition] + block, lists


def partition_lists(right_rows: Weights, left_rows: Weights, target: float, max_left: float) -> ListTasks:
    """Divide lists into partitions of about equal size: lists that follow each other, or one large list.

    A list has an estimated number of right rows, and of left rows that probe it. A partition has about `target` rows,
    left and right, and a task at most `max_left` left rows.
    """
    blocks = np.maximum(np.ceil(right_rows / target), 1).astype(np.int64)
    large = blocks > 1
    rows = np.where(large, 0.0, left_rows + right_rows)
    parts = max(int(np.ceil(rows.sum() / target)), 1)
    place = ((np.cumsum(rows) - rows / 2) * (parts / max(rows.sum(), 1.0))).astype(np.int64)
    _, partition = np.unique(np.where(large, parts + np.arange(len(rows)), place), return_inverse=True)
    right = np.ones(partition.max() + 1, np.int64)
    right[partition] = blocks
    left = np.maximum(np.ceil(np.bincount(partition, left_rows) / max_left), 1).astype(np.int64)
    return ListTasks(partition, left, right)


@dataclass(frozen=True)
class ListAssignment:
    """Assigns left rows, which search nprobe lists, or right rows to tasks. In a self join rows are both."""

    quantizer: CoarseQuantizer
    tasks: ListTasks
    nprobe: int
    vector: str
    left: bool
    right: bool
    form: Form | None = None  # How the vectors are stored; None for floats

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield each row once for each of its tasks, with a packed vector, TASK, PROBES and no ROW_HASH.

        LIST is null if the row is no right row in the task.
        """
        dimension, score = self.quantizer.centroids.shape[1], self.quantizer.score
        for batch in batches:
            vectors = read_vectors(batch.column(self.vector), dimension, score, self.form)
            rows = batch if vectors.kept.all() else batch.filter(pa.array(vectors.kept))
            if len(rows):
                yield from self._assign(rows, vectors.matrix)

    def _assign(self, rows: pa.RecordBatch, matrix: Matrix) -> Iterator[pa.RecordBatch]:
        row, task, own, probe = self._entries(matrix, rows.column(ROW_HASH).to_numpy())
        # Stable: the entry of a right row comes before its probes, and these stay in order.
        order = np.lexsort((task, row))
        row, task, own, probe = row[order], task[order], own[order], probe[order]
        first = np.flatnonzero((np.diff(row, prepend=-1) != 0) | (np.diff(task, prepend=-1) != 0))
        probed = probe >= 0
        ends = np.concatenate(([0], np.cumsum(np.add.reduceat(probed, first, dtype=np.int64))))
        row, own = row[first], own[first]
        kept = rows.drop_columns([ROW_HASH, self.vector]).take(pa.array(row))
        added = {
            TASK: pa.array(task[first].astype(np.int32)),
            LIST: pa.array(own.astype(np.int32), mask=own < 0),
            PROBES: pa.ListArray.from_arrays(ends.astype(np.int32), probe[probed].astype(np.int32)),
        }
        assigned = pa.RecordBatch.from_arrays([*kept.columns, *added.values()], names=[*kept.schema.names, *added])
        step = max(_BATCH_BYTES // (matrix.shape[1] * matrix.itemsize), 1)
        for start in range(0, len(assigned), step):
            vectors = pack(matrix[row[start : start + step]])
            yield assigned.slice(start, step).append_column(self.vector, vectors)

    def _entries(self, matrix: Matrix, row_hash: Places) -> tuple[Places, Places, Places, Places]:
        """Return row, task, list of a right row (or -1) and list to probe (or -1), right rows first."""
        parts = []
        if self.right:
            lists = self.quantizer.assign(matrix)
            row, task = self.tasks.of_right(lists, row_hash)
            parts.append((row, task, lists[row], np.full(len(row), -1)))
        if self.left:
            row, task, probe = self.tasks.of_left(self.quantizer.probe(matrix, self.nprobe), row_hash)
            parts.append((row, task, np.full(len(row), -1), probe))
        row, task, own, probe = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return row, task, own, probe


def _repeated(counts: Places) -> tuple[Places, Places]:
    """Return each row number as often as its count, and the index of each repetition."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, ranks(row)

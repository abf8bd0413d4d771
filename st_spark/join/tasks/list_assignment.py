"""Rows to the meetings of an approximate join: Arrow batches in, the same with meetings and cells out. No Spark."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from st_spark.join.tasks.regions import Regions
from st_spark.join.tasks.vector_column import checked, packed
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.scores import Places

# What tagged rows carry: the cell that a right row lies in, those that a left row searches in this meeting (the best
# first), and before that a number that is spread evenly.
CELL, PROBES, SALT = "_cell", "_probes", "_salt"
# Vectors of a batch, in bytes.
_BYTES = 1 << 24


@dataclass(frozen=True)
class Tagging:
    """Finds the meetings of rows.

    Attributes:
        cells: The cells.
        regions: Which meetings they belong to.
        nprobe: How many cells a left row searches.
        vector: The column of vectors.
        meeting: What to call the column of meetings.
        left: Whether the rows are left ones.
        right: Whether they are right ones; in a self join both.
    """

    cells: CoarseQuantizer
    regions: Regions
    nprobe: int
    vector: str
    meeting: str
    left: bool
    right: bool

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Each row once for each of its meetings, CELL (null if it is no right row there) and PROBES, less SALT.

        Vectors are packed: see vectors.packed().
        """
        for batch in batches:
            found = checked(batch.column(self.vector), self.cells.centroids.shape[1], self.cells.score)
            rows = batch if found.kept.all() else batch.filter(pa.array(found.kept))
            if len(rows):
                yield from self._tagged(rows, found.matrix)

    def _tagged(self, rows: pa.RecordBatch, matrix: np.ndarray) -> Iterator[pa.RecordBatch]:
        salt = rows.column(SALT).to_numpy()
        none = np.empty(0, np.int64)
        row, meeting, probe = self._searches(matrix, salt) if self.left else (none, none, none)
        cell = np.full(len(row), -1)
        if self.right:
            home = self.cells.assign(matrix)
            there, where = self.regions.right(home, salt)
            row, meeting = np.concatenate((there, row)), np.concatenate((where, meeting))
            probe = np.concatenate((np.full(len(there), -1), probe))
            cell = np.concatenate((home[there], cell))
        # Stable: what makes a row a right one stands before its probes, and these stay in order.
        order = np.lexsort((meeting, row))
        row, meeting, probe, cell = row[order], meeting[order], probe[order], cell[order]
        firsts = np.flatnonzero((np.diff(row, prepend=-1) != 0) | (np.diff(meeting, prepend=-1) != 0))
        searched = probe >= 0
        ends = np.concatenate(([0], np.cumsum(np.add.reduceat(searched, firsts, dtype=np.int64))))
        kept = rows.drop_columns([SALT, self.vector]).take(pa.array(row[firsts]))
        more = {
            self.meeting: pa.array(meeting[firsts].astype(np.int32)),
            CELL: pa.array(cell[firsts].astype(np.int32), mask=cell[firsts] < 0),
            PROBES: pa.ListArray.from_arrays(ends.astype(np.int32), probe[searched].astype(np.int32)),
        }
        tagged = pa.RecordBatch.from_arrays([*kept.columns, *more.values()], names=[*kept.schema.names, *more])
        step = max(_BYTES // (matrix.shape[1] * matrix.itemsize), 1)
        for first in range(0, len(tagged), step):
            part = slice(first, first + step)
            vectors = packed(matrix[row[firsts][part]])
            yield tagged.slice(first, step).append_column(self.vector, vectors)

    def _searches(self, matrix: np.ndarray, salt: Places) -> tuple[Places, Places, Places]:
        return self.regions.left(self.cells.probe(matrix, self.nprobe), salt)

"""Turn Arrow batches of rows into the blocks of each task.

Rows travel as an id and an array: Arrow holds all arrays of a batch as one flat buffer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.vector_column import read_vectors, unpack
from st_spark.model.quantization import Form
from st_spark.topk.scores import Matrix, Places

# The columns of a row on its way to a task. LEFT_ID is null for rows that are in the right block alone, RIGHT_ID for
# rows that are in the left block alone.
TASK, LEFT_ID, RIGHT_ID, ROW_VECTOR = "_task", "_left_id", "_right_id", "_row_vector"


@dataclass(frozen=True)
class Block:
    """Rows of one table."""

    ids: pa.Array  # [n] in ascending order (strings by their UTF-8 bytes), so row numbers order as ids do
    matrix: Matrix  # [n, d] vectors, float32 or float64
    extra: dict[str, pa.Array] = field(default_factory=dict)  # [n] further columns of the rows

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Places) -> "Block":
        """Return some rows, in their order."""
        places = pa.array(rows)
        extra = {name: column.take(places) for name, column in self.extra.items()}
        return Block(self.ids.take(places), self.matrix[rows], extra)


@dataclass(frozen=True)
class TaskInput:
    """What one task compares: each row of the left block with each row of the right block.

    In a self-pair task, which compares the rows of one block with each other, both are the same object.
    """

    left: Block
    right: Block

    @property
    def self_pairs(self) -> bool:
        """Whether the rows of one block are compared with each other."""
        return self.right is self.left


@dataclass(frozen=True)
class BlockReader:
    """Reads the rows of tasks."""

    dimension: int  # Number of values in a vector. Rows that cannot be joined are left out; they were counted before.
    score: str  # One of choices.SCORES
    keys: tuple[str, ...] = ()  # Columns that must be equal: rows are compared only within equal keys
    extra: tuple[str, ...] = ()  # Further columns for the blocks
    forms: tuple[Form | None, Form | None] = (None, None)  # How left and right vectors are stored; None for floats

    def read(self, batches: Iterator[pa.RecordBatch]) -> Iterator[TaskInput]:
        """Yield one input for each TASK and key, one at a time in memory. Rows must be sorted by both.

        Keys are compared by Arrow. Python calls two times equal that have the same clock time in their zone.
        """
        last: pa.RecordBatch = None  # TASK and the key of the row before
        none: pa.RecordBatch = None  # the columns of the task, for a block without rows
        left: list[Block] = []
        right: list[Block] = []
        for batch in filter(len, batches):
            keys = batch.select([TASK, *self.keys])
            is_new, last = last is None or not keys.slice(0, 1).equals(last), keys.slice(len(batch) - 1)
            starts = run_starts(keys.columns).tolist()
            for start, stop in zip(starts, [*starts[1:], len(batch)], strict=True):
                rows = batch.slice(start, stop - start)
                nulls = [rows.column(name).null_count for name in (LEFT_ID, RIGHT_ID)]
                if is_new or start:
                    if none is not None:
                        yield self._task(none, left, right)
                    none, left = rows.slice(0, 0), []
                    right = [] if any(nulls) else left
                if nulls[0] < len(rows):
                    left.append(self._block(rows, LEFT_ID))
                if nulls[1] < len(rows) and right is not left:
                    right.append(self._block(rows, RIGHT_ID))
        if none is not None:
            yield self._task(none, left, right)

    def _task(self, none: pa.RecordBatch, left: list[Block], right: list[Block]) -> TaskInput:
        self_pairs = right is left
        block = _concat(left or [self._block(none, LEFT_ID)])
        return TaskInput(block, block if self_pairs else _concat(right or [self._block(none, RIGHT_ID)]))

    def _block(self, rows: pa.RecordBatch, name: str) -> Block:
        """Return the rows of one side, in any order."""
        ids = rows.column(name)
        rows = rows.filter(ids.is_valid()) if ids.null_count else rows
        column = rows.column(ROW_VECTOR)
        if pa.types.is_binary(column.type):  # only vectors that can be joined are packed
            matrix = unpack(column, self.dimension)
        else:
            vectors = read_vectors(column, self.dimension, self.score, self.forms[name == RIGHT_ID])
            matrix = vectors.matrix
            rows = rows if vectors.kept.all() else rows.filter(pa.array(vectors.kept))
        return Block(rows.column(name), matrix, {column: rows.column(column) for column in self.extra})


def self_index(ids: pa.Array, among: pa.Array) -> Places:
    """Return the row number of each id among other ids, [n], or -1."""
    if ids.type != among.type:
        return np.full(len(ids), -1, np.int64)
    found = pc.index_in(ids, value_set=among).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False).astype(np.int64))


def run_starts(columns: Sequence[pa.Array]) -> Places:
    """Return where each run of rows starts that are equal in all columns. The columns have no nulls."""
    rows = len(columns[0])
    changes = np.arange(rows) == 0
    for column in columns if rows else ():
        changes[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return np.flatnonzero(changes)


def _concat(parts: list[Block]) -> Block:
    """Return one block sorted by id. Parts are freed as the matrix is filled: memory never holds both."""
    ids = pa.concat_arrays([part.ids for part in parts])
    extra = {name: pa.concat_arrays([part.extra[name] for part in parts]) for name in parts[0].extra}
    order = pc.sort_indices(ids)
    places = np.empty(len(ids), np.int64)
    places[order.to_numpy()] = np.arange(len(ids))
    dtype = np.result_type(np.float32, *(part.matrix.dtype for part in parts))
    matrix = np.empty((len(ids), parts[0].matrix.shape[1]), dtype)
    done = 0
    parts.reverse()
    while parts:
        part = parts.pop().matrix
        matrix[places[done : done + len(part)]] = part
        done += len(part)
    return Block(ids.take(order), matrix, {name: values.take(order) for name, values in extra.items()})

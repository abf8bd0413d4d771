"""Arrow batches of tagged rows to meetings: the two sides that are compared with each other at once. No Spark.

Rows travel as they are, an id and an array, for Arrow gives all arrays of a batch as one flat buffer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.vector_column import checked, unpacked
from st_spark.topk.scores import Matrix, Places

# The columns of tagged rows. Of the two ids a row has that of its side, and null for the other.
MEETING = "_meeting"
LEFT_ID, RIGHT_ID, ROW_VECTOR = "_left_id", "_right_id", "_row_vector"


@dataclass(frozen=True)
class Side:
    """The rows of one side.

    Attributes:
        ids: [n] in ascending order (strings in that of their UTF-8 bytes), so that places order as ids do.
        matrix: [n, d] vectors, float32 or float64.
        carried: [n] further columns of the rows.
    """

    ids: pa.Array
    matrix: Matrix
    carried: dict[str, pa.Array]


@dataclass(frozen=True)
class Meeting:
    """What is compared at once: all left rows with all right rows.

    Attributes:
        number: The one that its rows were tagged with.
        left: Left rows.
        right: Right rows; none of them where the left ones meet each other.
    """

    number: int
    left: Side
    right: Side


@dataclass(frozen=True)
class Gathering:
    """How to read tagged rows.

    Attributes:
        dimension: Values of a vector; rows that cannot be joined are left out (and were counted before).
        score: One of vectors.SCORES.
        keys: Columns that are equal in one meeting, beside its number. Rows come sorted by both.
        carried: Columns that the sides bring with them.
    """

    dimension: int
    score: str
    keys: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    def meetings(self, batches: Iterator[pa.RecordBatch]) -> Iterator[Meeting]:
        """The meetings of one task; only one at a time is in memory."""
        waiting: _Waiting | None = None
        for batch in batches:
            columns = [batch.column(name) for name in (MEETING, *self.keys)]
            for start, stop in _runs(columns):
                tag = tuple(column[start].as_py() for column in columns)
                if waiting is None or waiting.tag != tag:
                    if waiting is not None:
                        yield waiting.held(self)
                    waiting = _Waiting(tag)
                waiting.add(batch.slice(start, stop - start), self)
        if waiting is not None:
            yield waiting.held(self)


@dataclass
class _Waiting:
    """A meeting whose rows are still coming."""

    tag: tuple[object, ...]
    parts: dict[str, list["_Part"]] = field(default_factory=lambda: {LEFT_ID: [], RIGHT_ID: []})
    empty: pa.RecordBatch | None = None

    def add(self, batch: pa.RecordBatch, how: Gathering) -> None:
        self.empty = batch.slice(0, 0)
        for name in (LEFT_ID, RIGHT_ID):
            ids = batch.column(name)
            if ids.null_count == len(batch):
                continue
            rows = batch.filter(ids.is_valid()) if ids.null_count else batch
            rows, matrix = _sound(rows, how)
            carried = {column: rows.column(column) for column in how.carried}
            self.parts[name].append(_Part(rows.column(name), matrix, carried))

    def held(self, how: Gathering) -> Meeting:
        left, right = (self._side(name, how) for name in (LEFT_ID, RIGHT_ID))
        return Meeting(int(str(self.tag[0])), left, right)

    def _side(self, name: str, how: Gathering) -> Side:
        """One side in the order of its ids. The parts go while the matrix comes: not twice the memory."""
        assert self.empty is not None
        parts = self.parts[name]
        ids = _joined([self.empty.column(name), *(part.ids for part in parts)])
        carried = {
            column: _joined([self.empty.column(column), *(part.carried[column] for part in parts)])
            for column in how.carried
        }
        order = pc.sort_indices(ids)
        places = np.empty(len(ids), np.int64)
        places[order.to_numpy()] = np.arange(len(ids))
        kind = np.result_type(np.float32, *(part.matrix.dtype for part in parts))
        matrix = np.empty((len(ids), how.dimension), kind)
        done = 0
        parts.reverse()
        while parts:
            part = parts.pop()
            matrix[places[done : done + len(part.matrix)]] = part.matrix
            done += len(part.matrix)
        return Side(ids.take(order), matrix, {column: values.take(order) for column, values in carried.items()})


def _sound(rows: pa.RecordBatch, how: Gathering) -> tuple[pa.RecordBatch, Matrix]:
    """The rows whose vectors can be joined, and these; packed ones were looked at before."""
    column = rows.column(ROW_VECTOR)
    if pa.types.is_binary(column.type):
        return rows, unpacked(column, how.dimension)
    found = checked(column, how.dimension, how.score)
    return rows if found.kept.all() else rows.filter(pa.array(found.kept)), found.matrix


@dataclass(frozen=True)
class _Part:
    """What one batch brings to one side."""

    ids: pa.Array
    matrix: Matrix
    carried: dict[str, pa.Array]


def places_of(ids: pa.Array, among: pa.Array) -> Places:
    """[n] int64: where each id stands among others, -1 where it does not."""
    if ids.type != among.type:
        return np.full(len(ids), -1, np.int64)
    found = pc.index_in(ids, value_set=among).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False).astype(np.int64))


def _runs(columns: Sequence[pa.Array]) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of rows that are equal in all columns (which have no nulls)."""
    rows = len(columns[0])
    if not rows:
        return
    changes = np.zeros(rows - 1, dtype=bool)
    for column in columns:
        changes |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
    yield from zip(starts, [*starts[1:], rows], strict=True)


def _joined(arrays: list[pa.Array]) -> pa.Array:
    return pa.concat_arrays(arrays)

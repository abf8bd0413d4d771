"""Why rows cannot be joined: Spark counts the reasons."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.vector_column import row_squares, to_floats
from st_spark.model.quantization import Form

# The size of the vector (-1 for null), and why the row is set aside (null if it is not).
SIZE, REASON = "size", "reason"
# The hash of the id; null where it does not count.
IDS = "id"
# Input alone: the vector, or an empty one where Spark has found that the vector can be joined.
VALID, READ = "valid", "read"
SCHEMA = pa.schema({SIZE: pa.int32(), REASON: pa.string(), IDS: pa.int64()})


@dataclass(frozen=True)
class RowStats:
    """Reads the vectors that Spark has not found valid, and sets rows aside that cannot be joined."""

    score: str
    form: Form | None = None  # How the vectors are stored; None for floats

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches of SCHEMA. Rows with a REASON keep it: their vectors do not count."""
        for batch in batches:
            early = batch.column(REASON)
            own = pc.if_else(batch.column(VALID), pa.scalar(None, pa.string()), self.reasons(batch.column(READ)))
            columns = {
                SIZE: pc.if_else(early.is_null(), batch.column(SIZE), pa.scalar(-1, pa.int32())),
                REASON: pc.coalesce(early, own),
                IDS: batch.column(IDS),
            }
            yield pa.RecordBatch.from_pydict(columns, SCHEMA)

    def reasons(self, vectors: pa.Array) -> pa.Array:
        """Return why each vector cannot be joined (see choices.REASONS), or null. Floats may have any sizes."""
        sizes = pc.list_value_length(vectors).fill_null(-1).to_numpy(zero_copy_only=False)
        some = np.flatnonzero(sizes > 0)
        squares, fits = np.full(len(sizes), np.nan), sizes != 0
        if self.form is not None:
            matrix, fits = to_floats(vectors, self.form.dim, self.form)
            squares[fits] = row_squares(matrix)
        elif len(some):
            values = np.square(vectors.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
            squares[some] = np.add.reduceat(values, np.cumsum(sizes[some]) - sizes[some])
        zero = (squares == 0) & (self.score == "cosine")
        cases = {"null": sizes < 0, "dimension": ~fits, "not finite": ~np.isfinite(squares), "zero": zero}
        found = np.select(list(cases.values()), list(cases), "")
        return pa.array(found, pa.string(), mask=found == "")

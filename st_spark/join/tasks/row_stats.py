"""Why rows cannot be joined, and hashes of what may be repeated in a table: Spark counts both."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# The size of the vector (-1 for null), and why the row is set aside (null if it is not).
SIZE, REASON = "size", "reason"
# Hashes; null where they do not count.
IDS, VECTORS, TEXTS = "id", "vector", "text"
# Input alone: the vector, or an empty one where Spark has found that the vector can be joined.
VALID, READ = "valid", "read"
SCHEMA = pa.schema({SIZE: pa.int32(), REASON: pa.string(), IDS: pa.int64(), VECTORS: pa.int64(), TEXTS: pa.int64()})


@dataclass(frozen=True)
class RowStats:
    """Reads the vectors that Spark has not found valid, and sets rows aside that cannot be joined."""

    score: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches of SCHEMA. Rows with a REASON keep it: their vectors and texts do not count."""
        for batch in batches:
            early = batch.column(REASON)
            own = pc.if_else(batch.column(VALID), pa.scalar(None, pa.string()), self.reasons(batch.column(READ)))
            reason = pc.coalesce(early, own)
            columns = {
                SIZE: pc.if_else(early.is_null(), batch.column(SIZE), pa.scalar(-1, pa.int32())),
                REASON: reason,
                IDS: batch.column(IDS),
                VECTORS: pc.if_else(reason.is_null(), batch.column(VECTORS), pa.scalar(None, pa.int64())),
                TEXTS: pc.if_else(early.is_null(), batch.column(TEXTS), pa.scalar(None, pa.int64())),
            }
            yield pa.RecordBatch.from_pydict(columns, SCHEMA)

    def reasons(self, vectors: pa.Array) -> pa.Array:
        """Return why each vector cannot be joined (see choices.REASONS), or null. Vectors may have any sizes."""
        sizes = pc.list_value_length(vectors).fill_null(-1).to_numpy(zero_copy_only=False)
        some = np.flatnonzero(sizes > 0)
        squares = np.full(len(sizes), np.nan)
        if len(some):
            values = np.square(vectors.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
            squares[some] = np.add.reduceat(values, np.cumsum(sizes[some]) - sizes[some])
        zero = (squares == 0) & (self.score == "cosine")
        cases = {"null": sizes < 0, "dimension": sizes == 0, "not finite": ~np.isfinite(squares), "zero": zero}
        found = np.select(list(cases.values()), list(cases), "")
        return pa.array(found, pa.string(), mask=found == "")

"""Statistics of one pass over a table: rows by size of the vector, why rows are set aside, and what is repeated."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.vector_column import read_vectors

Hashes = npt.NDArray[np.uint64]

# A row of the statistics is a count of rows by the size of their vectors (-1 for null) and by the reason to set them
# aside ("" for none); or the hashes of a bucket, 8 bytes each; or, without hashes, what is repeated.
SIDE, SIZE, REASON, ROWS, WHAT, BUCKET, HASHES = "side", "size", "reason", "rows", "what", "bucket", "hashes"
SCHEMA = pa.schema(
    {SIDE: pa.int32(), SIZE: pa.int32(), REASON: pa.string(), ROWS: pa.int64(), WHAT: pa.string()}
    | {BUCKET: pa.int32(), HASHES: pa.binary()}
)
# What may be repeated.
IDS, VECTORS, TEXTS = "id", "vector", "text"
# Columns of the input, in addition to SIZE. MISSING: why the row is set aside before its vector is read, or null.
# VALID: whether Spark has found that the vector can be joined. VECTOR: empty if VALID. The hashes may be null.
MISSING, VALID, VECTOR = "missing", "valid", "vector"
ID_HASH, VECTOR_HASH, TEXT_HASH = "id_hash", "vector_hash", "text_hash"
_BUCKETS = 64
_MAX_HASHES = 1 << 20


@dataclass
class RowStats:
    """Counts the rows of a task.

    Attributes:
        side: The number of the table.
        score: One of choices.SCORES.
        copies: Whether to look for equal vectors and texts.
        max_hashes: After this many rows, hashes are passed on to free memory.
    """

    side: int
    score: str
    copies: bool
    max_hashes: int = _MAX_HASHES
    _counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    _hashes: dict[str, list[Hashes]] = field(default_factory=dict)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield rows of SCHEMA."""
        held = 0
        for batch in batches:
            self._add(batch)
            held += len(batch)
            if held > self.max_hashes:
                yield self._buckets()
                held = 0
        yield self._buckets()
        counts = self._counts.items()
        yield _batch({SIDE: self.side, SIZE: size, REASON: reason, ROWS: rows} for (size, reason), rows in counts)

    def _add(self, batch: pa.RecordBatch) -> None:
        missing = batch.column(MISSING)
        self._hash(IDS, batch.column(ID_HASH).drop_null())
        if missing.null_count < len(missing):
            for reason in pc.value_counts(missing.drop_null()):
                self._counts[-1, reason["values"].as_py()] += reason["counts"].as_py()
            batch = batch.filter(missing.is_null())
        if self.copies:
            self._hash(TEXTS, batch.column(TEXT_HASH).drop_null())
        valid = batch.column(VALID)
        self._add_valid(_filter(batch.select([SIZE, VECTOR_HASH]), valid))
        others = _filter(batch, pc.invert(valid))
        for size in pc.unique(others.column(SIZE)).to_pylist():
            self._read(_filter(others, pc.equal(others.column(SIZE), size)), size)

    def _add_valid(self, rows: pa.RecordBatch) -> None:
        """Add rows with vectors that can be joined, of any sizes."""
        for size in pc.value_counts(rows.column(SIZE)):
            self._counts[size["values"].as_py(), ""] += size["counts"].as_py()
        if self.copies:
            self._hash(VECTORS, rows.column(VECTOR_HASH))

    def _read(self, rows: pa.RecordBatch, size: int) -> None:
        """Add rows whose vectors have one size and are to be read."""
        if size <= 0:
            self._counts[size, "null" if size < 0 else "dimension"] += len(rows)
            return
        vectors = read_vectors(rows.column(VECTOR), size, self.score)
        self._counts.update({(size, reason): count for reason, count in vectors.set_aside.items()})
        self._add_valid(_filter(rows.select([SIZE, VECTOR_HASH]), pa.array(vectors.kept)))

    def _hash(self, what: str, hashes: pa.Array) -> None:
        self._hashes.setdefault(what, []).append(hashes.to_numpy().view(np.uint64))

    def _buckets(self) -> pa.RecordBatch:
        rows: list[dict[str, Any]] = []
        for what, parts in self._hashes.items():
            values = np.sort(np.concatenate(parts))
            starts = np.searchsorted(values, np.arange(_BUCKETS, dtype=np.uint64) * np.uint64(2**64 // _BUCKETS))
            for bucket, part in enumerate(np.split(values, starts[1:])):
                if len(part):
                    rows.append({SIDE: self.side, WHAT: what, BUCKET: bucket, HASHES: part.tobytes()})
        self._hashes.clear()
        return _batch(rows)


def find_repeated(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass the counts on, and yield a row with SIDE and WHAT if a hash is repeated.

    All rows of a side, WHAT and BUCKET must be in one task.
    """
    buckets: dict[tuple[int, str, int], list[Hashes]] = {}
    for batch in batches:
        yield batch.filter(batch.column(HASHES).is_null())
        for row in batch.filter(batch.column(HASHES).is_valid()).to_pylist():
            buckets.setdefault((row[SIDE], row[WHAT], row[BUCKET]), []).append(np.frombuffer(row[HASHES], np.uint64))
    repeated = set()
    for (side, what, _), parts in buckets.items():
        values = np.sort(np.concatenate(parts))
        if (values[1:] == values[:-1]).any():
            repeated.add((side, what))
    yield _batch({SIDE: side, WHAT: what} for side, what in sorted(repeated))


def _filter(rows: pa.RecordBatch, which: pa.Array) -> pa.RecordBatch:
    """Return the selected rows; if all are selected, the batch itself."""
    return rows if pc.all(which).as_py() else rows.filter(which)


def _batch(rows: Iterable[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), SCHEMA)  # what a row does not name is null

"""What one pass over a table tells: rows by the size of their vector, why some are set aside, what may stand twice.

No Spark.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.vector_column import checked

Hashes = npt.NDArray[np.uint64]

# The columns of a look at some rows: how many there are of a size of vectors (-1 for none) and a reason ("" for none)
# to set them aside; or hashes (of 8 bytes) of what must not stand twice, those of one bucket together.
SIDE, SIZE, REASON, ROWS, WHAT, BUCKET, HASHES = "side", "size", "reason", "rows", "what", "bucket", "hashes"
SCHEMA = "side int, size int, reason string, rows bigint, what string, bucket int, hashes binary"
# What may stand twice.
IDS, VECTORS, TEXTS = "id", "vector", "text"
# Columns of the rows that are looked at, beside SIZE: why they are not, or null; whether it is known that the vector
# can be joined; the vector where it is not; and hashes, or null.
MISSING, SOUND, VECTOR = "missing", "sound", "vector"
ID_HASH, VECTOR_HASH, TEXT_HASH = "id_hash", "vector_hash", "text_hash"
_BUCKETS = 64
# Hashes that are held before they are given away.
_HELD = 1 << 20


@dataclass
class Look:
    """Looks at the rows of one task.

    Attributes:
        side: The number of their side.
        score: One of vectors.SCORES.
        copies: Whether equal vectors are looked for.
    """

    side: int
    score: str
    copies: bool
    _counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    _seen: dict[str, list[Hashes]] = field(default_factory=dict)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """SCHEMA of rows with MISSING (why a row is set aside before its vector is looked at, or null) and the rest."""
        held = 0
        for batch in batches:
            self._look(batch)
            held += len(batch)
            if held > _HELD:
                yield from self._hashed()
                held = 0
        yield from self._hashed()
        sizes, reasons = [size for size, _ in self._counts], [reason for _, reason in self._counts]
        rows = list(self._counts.values())
        counts: dict[str, Sequence[object]] = {SIZE: sizes, REASON: reasons, ROWS: rows}
        yield _batch(self.side, len(rows), counts)

    def _look(self, batch: pa.RecordBatch) -> None:
        missing = batch.column(MISSING)
        self._see(IDS, batch.column(ID_HASH).drop_null())
        if missing.null_count < len(missing):
            for each in pc.value_counts(missing.drop_null()):
                self._counts[-1, each["values"].as_py()] += each["counts"].as_py()
            batch = batch.filter(missing.is_null())
        if self.copies:
            self._see(TEXTS, batch.column(TEXT_HASH).drop_null())
        sound = batch.column(SOUND)
        self._see_sound(batch, sound)
        others = _those(batch, pc.invert(sound))
        for size in pc.unique(others.column(SIZE)).to_pylist():
            self._look_at(_those(others, pc.equal(others.column(SIZE), size)), size)

    def _see_sound(self, rows: pa.RecordBatch, sound: pa.Array) -> None:
        """Rows, some with vectors that can be joined, of any sizes."""
        rows = rows.select([SIZE, VECTOR_HASH]).filter(sound)
        for each in pc.value_counts(rows.column(SIZE)):
            self._counts[each["values"].as_py(), ""] += each["counts"].as_py()
        if self.copies:
            self._see(VECTORS, rows.column(VECTOR_HASH))

    def _look_at(self, rows: pa.RecordBatch, size: int) -> None:
        """Rows whose vectors have one size, and may not be sound."""
        if size <= 0:
            self._counts[size, "null" if size < 0 else "dimension"] += len(rows)
            return
        found = checked(rows.column(VECTOR), size, self.score)
        self._counts.update({(size, reason): count for reason, count in found.set_aside.items()})
        self._see_sound(rows, pa.array(found.kept))

    def _see(self, what: str, values: pa.Array) -> None:
        self._seen.setdefault(what, []).append(values.to_numpy().view(np.uint64))

    def _hashed(self) -> Iterator[pa.RecordBatch]:
        """What was seen, by buckets."""
        for what, parts in self._seen.items():
            values = np.sort(np.concatenate(parts))
            starts = np.searchsorted(values, np.arange(_BUCKETS, dtype=np.uint64) * np.uint64(2**64 // _BUCKETS))
            cut = [part.tobytes() for part in np.split(values, starts[1:])]
            kept = [place for place, part in enumerate(cut) if part]
            columns: dict[str, Sequence[object]] = {WHAT: [what] * len(kept), BUCKET: kept}
            yield _batch(self.side, len(kept), columns | {HASHES: [cut[place] for place in kept]})
        self._seen.clear()


def twice(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of a task's rows of SCHEMA those that count; and one with WHAT for each side of which it may stand twice.

    All rows of a side, WHAT and BUCKET are in one task.
    """
    held: dict[tuple[int, str, int], list[Hashes]] = {}
    for batch in batches:
        yield batch.filter(batch.column(HASHES).is_null())
        some = batch.filter(batch.column(HASHES).is_valid())
        names = zip(*(some.column(name).to_pylist() for name in (SIDE, WHAT, BUCKET, HASHES)), strict=True)
        for side, what, bucket, values in names:
            held.setdefault((side, what, bucket), []).append(np.frombuffer(values, np.uint64))
    found = set()
    for (side, what, _), parts in held.items():
        values = np.sort(np.concatenate(parts))
        if (values[1:] == values[:-1]).any():
            found.add((side, what))
    for side, what in sorted(found):
        yield _batch(side, 1, {WHAT: [what]})


def _those(rows: pa.RecordBatch, which: pa.Array) -> pa.RecordBatch:
    """Some rows; all of them are not copied."""
    return rows if pc.all(which).as_py() else rows.filter(which)


def _batch(side: int, rows: int, columns: Mapping[str, Sequence[object]]) -> pa.RecordBatch:
    """Rows of SCHEMA; columns that are not given are null."""
    kinds = {SIDE: pa.int32(), SIZE: pa.int32(), REASON: pa.string(), ROWS: pa.int64()}
    kinds |= {WHAT: pa.string(), BUCKET: pa.int32(), HASHES: pa.binary()}
    given: dict[str, Sequence[object]] = {SIDE: [side] * rows, **columns}
    arrays = [pa.array(given.get(name, [None] * rows), kind) for name, kind in kinds.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))

"""Regroup Arrow batches into windows: limited in rows and bytes, whatever the size of Spark's batches."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from st_spark.errors import InputError

# Texts are sorted by length within a window, so that batches need little padding. Larger windows gain nothing.
WINDOW_TEXTS = 8192
# Small, so that `show()` and `limit` on a large table return soon.
FIRST_WINDOW_TEXTS = 512
# A window holds each text as Arrow, as str and as tokens: about ten times this in memory.
WINDOW_BYTES = 32 * 1024 * 1024

Columns = tuple[pa.Array, ...]


def read_windows(
    batches: Iterator[pa.Array | tuple[pa.Array, ...]],
    texts: int = WINDOW_TEXTS,
    first_texts: int = FIRST_WINDOW_TEXTS,
    size: int = WINDOW_BYTES,
    images: bool = False,
) -> Iterator[Columns]:
    """Regroup batches into windows. The rows keep their order.

    Args:
        batches: Arrays of strings, or tuples of such arrays of one length.
        texts: Maximum rows of a window.
        first_texts: Maximum rows of the first window.
        size: Maximum bytes of UTF-8 or of image files in a window. A window has at least one row, of any size.
        images: Whether arrays may be binary: image files.

    Yields:
        Tuples of large_string (or large_binary) arrays of one length, never empty.

    Raises:
        InputError: A column does not hold strings (or images).
    """
    limit, rows, used, pieces = min(texts, first_texts), 0, 0, list[Columns]()
    for batch in batches:
        columns = tuple(as_inputs(column, images) for column in (batch if isinstance(batch, tuple) else (batch,)))
        ends = np.cumsum(sum(text_bytes(column) for column in columns))  # bytes of rows 0..i
        start = 0
        while start < len(ends):
            done = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, done + size - used, side="right"))
            stop = min(max(stop, start + (not pieces)), start + limit - rows)
            if stop > start:
                pieces.append(tuple(column.slice(start, stop - start) for column in columns))
                rows, used, start = rows + stop - start, used + int(ends[stop - 1]) - done, stop
            if start < len(ends) or rows == limit:
                yield _joined(pieces)
                limit, rows, used, pieces = texts, 0, 0, []
    if pieces:
        yield _joined(pieces)


def as_inputs(column: pa.Array | pa.ChunkedArray, images: bool = False) -> pa.Array:
    """Convert strings (or image files) to one large_string (or large_binary) array; InputError for other types."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    strings = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null, pa.types.is_string_view)
    files = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    binary = any(check(kind) for check in files)
    if not (images if binary else any(check(kind) for check in strings)):
        hint = "choose a CLIP model if it holds images, else " if binary else ""
        raise InputError(
            f"The column to encode holds {column.type}, not strings.",
            f"{hint}name the text column, or cast this one: col(...).cast('string')",
        )
    column = column.cast(pa.large_binary() if binary else pa.large_string())  # makes the offsets wider, copies no text
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def text_bytes(column: pa.Array) -> np.ndarray:
    """Return the bytes of each row, int64; 0 for a null."""
    if not len(column):
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(column.buffers()[1], np.int64, len(column) + 1, column.offset * 8)
    return np.diff(offsets)


def _joined(pieces: list[Columns]) -> Columns:
    """Join the pieces of a window into one array per column."""
    if len(pieces) == 1:
        return pieces[0]
    return tuple(pa.concat_arrays(list(column)) for column in zip(*pieces, strict=True))

"""Arrow batches -> windows: read ahead over batches as far as texts and bytes allow, cut what is too large."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from st_spark.errors import InputError

# Texts sorted by length over a window need little padding or regrouping; more than this gains nothing any more.
WINDOW_TEXTS = 8192
# Small, so that `show()` and `limit` on a large table do not wait for a full window.
FIRST_WINDOW_TEXTS = 512
# Long documents: a window holds each text as Arrow, as str and as tokens, so this times about ten is its memory.
WINDOW_BYTES = 32 * 1024 * 1024

Columns = tuple[pa.Array, ...]


def read_windows(
    batches: Iterator[pa.Array | tuple[pa.Array, ...]],
    texts: int = WINDOW_TEXTS,
    first_texts: int = FIRST_WINDOW_TEXTS,
    size: int = WINDOW_BYTES,
) -> Iterator[Columns]:
    """Regroups batches into windows, rows in order.

    Args:
        batches: Arrays of strings, or tuples of such arrays of one length.
        texts: Most rows of a window.
        first_texts: Most rows of the first window.
        size: Most bytes of UTF-8 in a window, save that each window has at least one row.

    Yields:
        Tuples of large_string arrays of one length, never empty.

    Raises:
        InputError: A column does not hold strings.
    """
    limit, rows, used, pieces = min(texts, first_texts), 0, 0, list[Columns]()
    for batch in batches:
        columns = tuple(as_strings(column) for column in (batch if isinstance(batch, tuple) else (batch,)))
        ends = np.cumsum(sum(text_bytes(column) for column in columns))  # bytes of rows 0..i together
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


def as_strings(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of strings of any Arrow layout as one large_string array.

    Raises:
        InputError: The column holds something else; its type is named.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    strings = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null, pa.types.is_string_view)
    if not any(check(kind) for check in strings):
        raise InputError(
            f"The column to encode holds {column.type}, not strings.",
            "name the text column, or cast this one: col(...).cast('string')",
        )
    column = column.cast(pa.large_string())  # widens the offsets only; the text itself is not copied
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def text_bytes(column: pa.Array) -> np.ndarray:
    """Bytes of UTF-8 of each row, int64; a null has none."""
    if not len(column):
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(column.buffers()[1], np.int64, len(column) + 1, column.offset * 8)
    return np.diff(offsets)


def _joined(pieces: list[Columns]) -> Columns:
    """The pieces of a window as one array per column."""
    if len(pieces) == 1:
        return pieces[0]
    return tuple(pa.concat_arrays(list(column)) for column in zip(*pieces, strict=True))

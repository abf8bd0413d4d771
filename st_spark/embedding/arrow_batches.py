"""Arrow batches -> windows: read ahead over batches as far as rows and bytes allow, cut what is too large."""

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
    images: bool = False,
) -> Iterator[Columns]:
    """Regroups batches into windows, rows in order.

    Args:
        batches: Arrays of strings, or tuples of such arrays of one length.
        texts: Most rows of a window.
        first_texts: Most rows of the first window.
        size: Most bytes of UTF-8 or of image files in a window, save that each window has at least one row.
        images: Whether arrays of binary are taken too, for a model that reads images.

    Yields:
        Tuples of large_string (or large_binary) arrays of one length, never empty.

    Raises:
        InputError: A column does not hold strings (or binary, where that is allowed).
    """
    limit, rows, used, pieces = min(texts, first_texts), 0, 0, list[Columns]()
    for batch in batches:
        columns = tuple(as_inputs(column, images) for column in (batch if isinstance(batch, tuple) else (batch,)))
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


def as_inputs(column: pa.Array | pa.ChunkedArray, images: bool = False) -> pa.Array:
    """A column of strings (or image files) of any Arrow layout as one large_string (or large_binary) array.

    Raises:
        InputError: The column holds something else; its type is named.
    """
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
    column = column.cast(pa.large_binary() if binary else pa.large_string())  # widens the offsets, copies no text
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def text_bytes(column: pa.Array) -> np.ndarray:
    """Bytes of each row, int64; a null has none."""
    if not len(column):
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(column.buffers()[1], np.int64, len(column) + 1, column.offset * 8)
    return np.diff(offsets)


def _joined(pieces: list[Columns]) -> Columns:
    """The pieces of a window as one array per column."""
    if len(pieces) == 1:
        return pieces[0]
    return tuple(pa.concat_arrays(list(column)) for column in zip(*pieces, strict=True))

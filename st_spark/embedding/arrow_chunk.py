"""Cut Arrow arrays of strings into chunks: for each row a list of structs. No Spark here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from st_spark.choices import CHUNK_COLUMNS
from st_spark.embedding.arrow_batches import read_windows
from st_spark.embedding.arrow_encode import distinct_texts

if TYPE_CHECKING:
    from st_spark.model.chunker import Chunker

# The texts of a window come out again as chunks, once or, with an overlap, several times.
_WINDOW_BYTES = 8 * 1024 * 1024

CHUNK = pa.struct(
    [
        *((name, pa.int32()) for name in CHUNK_COLUMNS),
        ("chunk_text", pa.string()),
    ]
)
# Spark's own name for list elements, so that Spark has nothing to cast.
CHUNKS = pa.list_(pa.field("element", CHUNK))


def chunk_arrays(chunker: "Chunker", batches: Iterator[Any]) -> Iterator[pa.Array]:
    """Cut a stream of Arrow arrays of strings into chunks.

    Args:
        chunker: Cuts the texts. It gets each distinct text of a window once.
        batches: Arrays of strings in any layout.

    Yields:
        Arrays of lists of CHUNK. A null text gives null, an empty one a chunk without characters. Bytes that are not
        UTF-8 are read as U+FFFD.

    Raises:
        InputError: The column does not hold strings.
    """
    for columns in read_windows(batches, size=_WINDOW_BYTES):
        texts, codes = distinct_texts(columns)
        lists = _lists(texts, chunker)
        yield lists if len(codes) == len(lists) and (np.diff(codes) == 1).all() else _taken(lists, codes)


def _taken(lists: pa.Array, codes: np.ndarray) -> pa.Array:
    return lists.take(pa.array(codes, mask=codes < 0))


def _lists(texts: list[str], chunker: "Chunker") -> pa.Array:
    found = chunker(texts)
    lengths = np.fromiter(map(len, found), dtype=np.int32, count=len(found))
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)))
    places = np.arange(offsets[-1], dtype=np.int32) - np.repeat(offsets[:-1], lengths)
    numbers = np.array([chunk for chunks in found for chunk in chunks], dtype=np.int32).reshape(-1, 3)
    parts = [text[start:end] for text, chunks in zip(texts, found, strict=True) for start, end, _ in chunks]
    fields = [pa.array(column) for column in (places, *np.ascontiguousarray(numbers.T))]
    structs = pa.StructArray.from_arrays([*fields, pa.array(parts, pa.string())], fields=list(CHUNK))
    return pa.ListArray.from_arrays(pa.array(offsets), structs, type=CHUNKS)

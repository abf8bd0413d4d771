"""Arrow strings (or images) -> Arrow vectors: nulls, duplicates, windows that read ahead. Knows nothing of Spark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from st_spark.embedding.arrow_batches import Columns, read_windows
from st_spark.errors import InputError
from st_spark.model.quantization import quantise

if TYPE_CHECKING:
    from st_spark.model.encoder import Encoded

# Spark's own names and types, so that Spark has nothing to cast.
VECTOR = pa.list_(pa.field("element", pa.float32()))
COUNTED = (pa.field("n_tokens", pa.int32()), pa.field("truncated", pa.bool_()))
PROBLEM = pa.field("problem", pa.string())
DUPLICATE = pa.field("duplicate", pa.bool_())
# What bytes and bits no longer tell of a vector.
ODD = (pa.field("zero", pa.bool_()), pa.field("nan", pa.bool_()))
# Spark has no unsigned bytes.
_ELEMENTS = {
    "float32": pa.float32(),
    "int8": pa.int8(),
    "binary": pa.int8(),
    "uint8": pa.int16(),
    "ubinary": pa.int16(),
}


@dataclass(frozen=True)
class EncodeOptions:
    """What to make of the texts; the fields mean what they mean in `SentenceTransformer.encode`.

    Args:
        prompt: Text put before each text (before the first one of a pair).
        prompt_name: Name of one of the model's own prompts instead.
        normalize_embeddings: Scale each vector to length 1.
        truncate_dim: Keep only the first dimensions.
        details: Give struct<embedding, n_tokens, truncated> instead of the bare vector.
        counts: As details, and with `duplicate`: whether the same text stood earlier in the window.
        images: The model reads images: a column may be binary, and details have one more field, `problem`: why an
            image could not be read, null for all others.
        task: Which route of a model with a Router.
        precision: What to make of the vectors; see quantization.quantise. With another than float32 a vector with a
            NaN becomes null, and counts have two more fields, `zero` and `nan`: whether the vector was such a one.
        ranges: The lowest and the highest value of each dimension, which int8 and uint8 need.
    """

    prompt: str | None = None
    prompt_name: str | None = None
    normalize_embeddings: bool = False
    truncate_dim: int | None = None
    details: bool = False
    counts: bool = False
    images: bool = False
    task: str | None = None
    precision: str = "float32"
    ranges: Sequence[Sequence[float]] | None = None


class Embedder(Protocol):
    """A model: texts in, vectors out, in the order of the texts."""

    def embed(
        self,
        texts: list[Any],
        *,
        prompt: str | None,
        prompt_name: str | None,
        normalize_embeddings: bool,
        truncate_dim: int | None,
        task: str | None = None,
    ) -> "Encoded":
        """Encodes texts, or pairs of texts, which may be many and of any length."""
        ...


def encode_arrays(
    model: Embedder, batches: Iterator[pa.Array | tuple[pa.Array, ...]], options: EncodeOptions
) -> Iterator[pa.Array]:
    """Encodes a stream of Arrow arrays.

    Args:
        model: What turns texts into vectors; each distinct text of a window reaches it once.
        batches: Arrays of strings (string, large_string, string_view, dictionaries of them, chunked or not), or
            tuples of two such arrays of the same length: pairs of texts. With options.images also arrays of binary:
            image files.
        options: How to encode.

    Yields:
        Arrays of list<float32> (of int8 for int8 and binary, of int16 for uint8 and ubinary), or of structs (see
        EncodeOptions). Their rows are the rows of `batches` in the same order, cut elsewhere. A null text gives a
        null, and so does a pair with a null in it. Bytes of a text that are not UTF-8 are read as U+FFFD. An image
        that cannot be read gives a null vector; with details the struct itself is there and tells the problem.

    Raises:
        InputError: A column does not hold strings (or images).
    """
    for columns in read_windows(batches, images=options.images):
        yield encode_window(model, columns, options)


def encode_window(model: Embedder, columns: Columns, options: EncodeOptions) -> pa.Array:
    """Encodes one window of large_string (or large_binary) columns of one length."""
    texts, codes = distinct_texts(columns)
    if not texts:
        return pa.nulls(len(codes), _type(options))
    encoded = model.embed(
        texts,
        prompt=options.prompt,
        prompt_name=options.prompt_name,
        normalize_embeddings=options.normalize_embeddings,
        truncate_dim=options.truncate_dim,
        task=options.task,
    )
    present = codes >= 0
    problems = encoded.problems if options.images else {}
    unread = np.isin(codes, list(problems))
    made, unsound = _quantised(encoded.vectors, options)
    vectors = _vectors(made, codes, present & ~unread & ~np.isin(codes, unsound), vector_type(options))
    if not (options.details or options.counts):
        return vectors
    null = pa.array(~present)
    seen = np.where(present, codes, 0)
    columns_out = [
        vectors,
        pa.array(np.where(unread, 0, encoded.n_tokens[seen]), pa.int32(), mask=~present),
        pa.array(encoded.truncated[seen], pa.bool_(), mask=~present),
    ]
    if options.images:
        columns_out.append(pa.array([problems.get(code) for code in codes.tolist()], pa.string()))
    if options.counts:
        columns_out.append(pa.array(_repeated(codes, present), pa.bool_(), mask=~present))
        if options.precision != "float32":
            odd = (encoded.vectors == 0).all(axis=1), np.isnan(encoded.vectors).any(axis=1)
            columns_out += [pa.array(np.asarray(each)[seen] & ~unread, pa.bool_(), mask=~present) for each in odd]
    return pa.StructArray.from_arrays(columns_out, fields=list(_type(options)), mask=null)


def distinct_texts(columns: Columns) -> tuple[list[Any], np.ndarray]:
    """The distinct texts (or pairs) of a window, and for each row the place of its own, -1 where there is a null."""
    encoded = [_codes(column) for column in columns]
    if len(encoded) == 1:
        return encoded[0]
    if len(encoded) != 2:
        raise InputError(f"{len(encoded)} columns were given to encode.", "give one column, or two: pairs of texts")
    (first, a), (second, b) = encoded
    codes = np.full(len(a), -1, np.int64)
    present = (a >= 0) & (b >= 0)
    pairs, codes[present] = np.unique(a[present] * len(second) + b[present], return_inverse=True)
    return [(first[pair // len(second)], second[pair % len(second)]) for pair in pairs.tolist()], codes


def _codes(column: pa.Array) -> tuple[list[str], np.ndarray]:
    """One column as its distinct texts and one int64 code per row."""
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    try:
        return encoded.dictionary.to_pylist(), codes
    except UnicodeDecodeError:  # Spark's strings are any bytes: a damaged file must not end the job
        raw = encoded.dictionary.cast(pa.large_binary()).to_pylist()
        return [text.decode("utf-8", "replace") for text in raw], codes


def _quantised(vectors: np.ndarray, options: EncodeOptions) -> tuple[np.ndarray, np.ndarray]:
    """The vectors in the precision of the options, and the places of those that have no form in it."""
    if options.precision == "float32":
        return vectors, np.empty(0, np.int64)
    unsound = np.flatnonzero(np.isnan(vectors).any(axis=1))
    sound = np.where(np.isnan(vectors), 0, vectors) if len(unsound) else vectors
    return quantise(sound, options.precision, options.ranges), unsound


def _vectors(vectors: np.ndarray, codes: np.ndarray, present: np.ndarray, kind: pa.ListType) -> pa.Array:
    """One list per row over one flat buffer: Python never holds a vector of its own."""
    dim = vectors.shape[1]
    if len(codes) > len(vectors) or not present.all():
        vectors = vectors[codes[present]]
    elif len(codes) > 1 and not (np.diff(codes) == 1).all():  # distinct pairs come in another order
        vectors = vectors[codes]
    offsets = np.zeros(len(codes) + 1, np.int32)
    np.cumsum(present * dim, out=offsets[1:])
    flat = pa.array(np.ascontiguousarray(vectors, kind.value_type.to_pandas_dtype()).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(offsets), flat, type=kind, mask=pa.array(~present))


def _repeated(codes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """True where the same text stood earlier in the window."""
    repeated = present.copy()
    rows = np.flatnonzero(present)
    repeated[rows[np.unique(codes[rows], return_index=True)[1]]] = False
    return repeated


def vector_type(options: EncodeOptions) -> pa.ListType:
    """The Arrow type of the vectors alone."""
    return pa.list_(pa.field("element", _ELEMENTS[options.precision]))


def fields(options: EncodeOptions) -> list[pa.Field]:
    """The fields of the output where it is a struct."""
    counts = [DUPLICATE, *(ODD if options.precision != "float32" else ())] if options.counts else []
    return [pa.field("embedding", vector_type(options)), *COUNTED, *([PROBLEM] if options.images else []), *counts]


def _type(options: EncodeOptions) -> pa.DataType:
    """The Arrow type of the output."""
    if not (options.details or options.counts):
        return vector_type(options)
    return pa.struct(fields(options))

"""Encode Arrow arrays of strings (or images) to Arrow arrays of vectors, each distinct text once. No Spark here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from st_spark.choices import MAX_IMAGE_PIXELS
from st_spark.embedding.arrow_batches import Columns, read_windows
from st_spark.errors import InputError
from st_spark.model.quantization import quantise

if TYPE_CHECKING:
    from st_spark.model.encoder import Encoded

# Element types by precision. Spark has no unsigned bytes.
_ELEMENTS = {
    "float32": pa.float32(),
    "int8": pa.int8(),
    "binary": pa.int8(),
    "uint8": pa.int16(),
    "ubinary": pa.int16(),
}
# Spark's own name for list elements, so that Spark has nothing to cast.
VECTOR = pa.list_(pa.field("element", pa.float32()))


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode.

    Args:
        prompt, prompt_name, normalize_embeddings, truncate_dim, task, max_seq_length, batch_size: See encode().
        details: Return struct<embedding, n_tokens, truncated> instead of the vector.
        counts: Like details, with one more field `duplicate`: whether the window has the same text in an earlier row.
        images: The model reads images, so a column may be binary. Details get one more field `problem`: why an image
            could not be read, else null.
        precision: Precision of the vectors; see quantization.quantise. If it is not float32, a vector with a NaN or an
            infinity becomes null, and counts get two more fields `zero` and `nan`: whether the vector was zeros, or had
            a NaN or an infinity.
        ranges: The lowest and the highest value of each dimension, needed for int8 and uint8.
        max_image_pixels: See encode().
        chunk, overlap, pooling: See encode(); the pooling "none" does not cut.
    """

    prompt: str | None = None
    prompt_name: str | None = None
    normalize_embeddings: bool = False
    truncate_dim: int | None = None
    details: bool = False
    counts: bool = False
    images: bool = False
    task: str | None = None
    max_seq_length: int | None = None
    batch_size: int | None = None
    precision: str = "float32"
    ranges: Sequence[Sequence[float]] | None = None
    max_image_pixels: int = MAX_IMAGE_PIXELS
    chunk: int | str | None = None
    overlap: int = 0
    pooling: str = "none"

    @property
    def pools(self) -> bool:
        """Whether the vectors of the chunks of a text become one."""
        return self.chunk is not None and self.pooling != "none"

    @property
    def chunking(self) -> dict[str, Any]:
        """The fields of ChunkOptions."""
        names = ("overlap", "prompt", "prompt_name", "task", "max_seq_length")
        return {
            "max_tokens": None if self.chunk == "auto" else self.chunk,
            **{name: getattr(self, name) for name in names},
        }

    @property
    def struct(self) -> bool:
        """Whether the output is a struct, and not the vector alone."""
        return self.details or self.counts


class Embedder(Protocol):
    """A model that encodes texts, or pairs of texts, to vectors in the order of the texts."""

    @property
    def embed(self) -> "Callable[..., Encoded]":
        """Encode texts; see SentenceTransformer.embed()."""
        ...


def encode_arrays(
    model: Embedder, batches: Iterator[pa.Array | tuple[pa.Array, ...]], options: EncodeOptions
) -> Iterator[pa.Array]:
    """Encode a stream of Arrow arrays.

    Args:
        model: The model. It gets each distinct text of a window once.
        batches: Arrays of strings in any layout (string, large_string, string_view, dictionary, chunked), or tuples of
            two such arrays of one length: pairs of texts. With options.images also binary arrays: image files.
        options: How to encode.

    Yields:
        Arrays of list<float32> (int8 for int8 and binary, int16 for uint8 and ubinary), or of structs (see
        EncodeOptions). The rows have the order of `batches`, but the arrays have other lengths. A null text, or a pair
        with a null, gives null. Bytes that are not UTF-8 are read as U+FFFD. An image that cannot be read gives a null
        vector; with details it gives a struct with the problem.

    Raises:
        InputError: A column does not hold strings (or images), or pairs are to be cut into chunks.
    """
    for columns in read_windows(batches, images=options.images and not options.pools):
        if options.pools and len(columns) > 1:  # an SQL function learns only now how many columns it has
            raise InputError("chunk is given, and two columns: pairs are not cut.", "give one column.")
        yield encode_window(model, columns, options)


def encode_window(model: Embedder, columns: Columns, options: EncodeOptions) -> pa.Array:
    """Encode one window: large_string (or large_binary) columns of one length."""
    texts, codes = distinct_texts(columns)
    if not texts:
        return pa.nulls(len(codes), output_type(options))
    encoded = model.embed(
        texts,
        prompt=options.prompt,
        prompt_name=options.prompt_name,
        normalize_embeddings=options.normalize_embeddings,
        truncate_dim=options.truncate_dim,
        task=options.task,
        batch_size=options.batch_size,
    )
    present = codes >= 0
    problems = encoded.problems if options.images else {}
    unread = np.isin(codes, list(problems))
    quantised, with_nan = _quantised(encoded.vectors, options)
    vectors = _vectors(quantised, codes, present & ~unread & ~np.isin(codes, with_nan), vector_type(options))
    if not options.struct:
        return vectors
    places = np.where(present, codes, 0)
    fields = [
        vectors,
        pa.array(np.where(unread, 0, encoded.n_tokens[places]), pa.int32(), mask=~present),
        pa.array(encoded.truncated[places], pa.bool_(), mask=~present),
    ]
    if options.images:
        fields.append(pa.array([problems.get(code) for code in codes.tolist()], pa.string()))
    if options.counts:
        fields.append(pa.array(_repeated(codes, present), pa.bool_(), mask=~present))
        if options.precision != "float32":
            flags = (encoded.vectors == 0).all(axis=1), ~np.isfinite(encoded.vectors).all(axis=1)
            fields += [pa.array(np.asarray(flag)[places] & ~unread, pa.bool_(), mask=~present) for flag in flags]
    return pa.StructArray.from_arrays(fields, fields=list(output_type(options)), mask=pa.array(~present))


def distinct_texts(columns: Columns) -> tuple[list[Any], np.ndarray]:
    """Return the distinct texts (or pairs) of a window, and for each row the index of its text; -1 for a null."""
    encoded = [_codes(column) for column in columns]
    if len(encoded) == 1:
        return encoded[0]
    if len(encoded) != 2:
        raise InputError(f"encode() got {len(encoded)} columns.", "give one column, or two: pairs of texts")
    (first, a), (second, b) = encoded
    codes = np.full(len(a), -1, np.int64)
    present = (a >= 0) & (b >= 0)
    pairs, codes[present] = np.unique(a[present] * len(second) + b[present], return_inverse=True)
    return [(first[pair // len(second)], second[pair % len(second)]) for pair in pairs.tolist()], codes


def _codes(column: pa.Array) -> tuple[list[str], np.ndarray]:
    """Return the distinct texts of one column, and for each row the index of its text, int64."""
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    try:
        return encoded.dictionary.to_pylist(), codes
    except UnicodeDecodeError:  # Spark's strings can hold any bytes, and one bad text must not end the job
        raw = encoded.dictionary.cast(pa.large_binary()).to_pylist()
        return [text.decode("utf-8", "replace") for text in raw], codes


def _quantised(vectors: np.ndarray, options: EncodeOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors in the precision of the options, and the indices of vectors with a NaN or an infinity."""
    if options.precision == "float32":
        return vectors, np.empty(0, np.int64)
    with_nan = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    finite = np.where(np.isfinite(vectors), vectors, 0) if len(with_nan) else vectors
    return quantise(finite, options.precision, options.ranges), with_nan


def _vectors(vectors: np.ndarray, codes: np.ndarray, present: np.ndarray, kind: pa.ListType) -> pa.Array:
    """Build one list per row over one flat buffer, without a Python object per vector."""
    dim = vectors.shape[1]
    if len(codes) > len(vectors) or not present.all():
        vectors = vectors[codes[present]]
    elif len(codes) > 1 and not (np.diff(codes) == 1).all():  # distinct pairs are sorted
        vectors = vectors[codes]
    offsets = np.zeros(len(codes) + 1, np.int32)
    np.cumsum(present * dim, out=offsets[1:])
    flat = pa.array(np.ascontiguousarray(vectors, kind.value_type.to_pandas_dtype()).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(offsets), flat, type=kind, mask=pa.array(~present))


def _repeated(codes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return True for each row whose text is also in an earlier row of the window."""
    repeated = present.copy()
    rows = np.flatnonzero(present)
    repeated[rows[np.unique(codes[rows], return_index=True)[1]]] = False
    return repeated


def vector_type(options: EncodeOptions) -> pa.ListType:
    """Return the Arrow type of the vectors."""
    return pa.list_(pa.field("element", _ELEMENTS[options.precision]))


def output_type(options: EncodeOptions) -> pa.DataType:
    """Return the Arrow type of the output."""
    if not options.struct:
        return vector_type(options)
    fields = [("embedding", vector_type(options)), ("n_tokens", pa.int32()), ("truncated", pa.bool_())]
    fields += [("problem", pa.string())] if options.images else []
    # Quantised vectors no longer show zeros and NaN.
    flags = ["duplicate", *(["zero", "nan"] if options.precision != "float32" else [])] if options.counts else []
    return pa.struct([*fields, *((name, pa.bool_()) for name in flags)])

"""Arrow strings to Arrow vectors, over a model small enough to check by hand."""

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.choices import RANGED
from st_spark.embedding.arrow_batches import FIRST_WINDOW_TEXTS, WINDOW_TEXTS, read_windows
from st_spark.embedding.arrow_encode import EncodeOptions, encode_arrays, encode_window, vector_type
from st_spark.errors import InputError
from st_spark.model.quantization import quantise

DIM = 3
PLAIN = EncodeOptions()
DETAILS = EncodeOptions(details=True)
COUNTS = EncodeOptions(counts=True)


@dataclass(frozen=True)
class Encoded:
    """The result of a model."""

    vectors: np.ndarray
    n_tokens: np.ndarray
    truncated: np.ndarray


@dataclass
class HashModel:
    """A model whose vector is a checksum of the text. It records the texts that it gets."""

    calls: list[list[Any]] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)

    def embed(self, texts: list[Any], **options: Any) -> Any:
        """Return vectors of checksums. Each character is a token; texts of five or more are truncated."""
        self.calls.append(list(texts))
        self.options.append(options)
        sums = np.array([zlib.crc32(repr(text).encode()) for text in texts], np.float64)
        vectors = np.stack([sums % 97, sums % 89, sums % 83], axis=1).astype(np.float32)
        lengths = np.array([sum(map(len, [text] if isinstance(text, str) else text)) for text in texts], np.int32)
        return Encoded(vectors, lengths, lengths > 4)

    def vector(self, text: Any) -> list[float]:
        """Return the vector of one text."""
        return HashModel().embed([text]).vectors[0].tolist()


def encoded(arrays: list[Any], options: EncodeOptions = PLAIN, model: HashModel | None = None) -> list[Any]:
    """Return all rows of the output as Python values."""
    output = list(encode_arrays(model or HashModel(), iter(arrays), options))
    return [row for array in output for row in array.to_pylist()]


texts = st.one_of(st.none(), st.sampled_from(["", "a", "a ", "naïve", "日本語", "😀 [SEP]"]), st.text(max_size=12))


@given(batches=st.lists(st.lists(texts, max_size=9), max_size=8))
def test_every_row_gets_the_vector_of_its_own_text(batches: list[list[str | None]]) -> None:
    rows = [text for batch in batches for text in batch]
    expected = [None if text is None else HashModel().vector(text) for text in rows]
    assert encoded([pa.array(batch, pa.string()) for batch in batches]) == expected


@given(batches=st.lists(st.lists(st.tuples(texts, texts), max_size=9), max_size=6))
def test_every_pair_gets_its_own_vector_and_a_pair_with_a_null_gets_none(batches: list[list[tuple[Any, Any]]]) -> None:
    arrays = [tuple(pa.array([pair[side] for pair in batch], pa.string()) for side in (0, 1)) for batch in batches]
    expected = [None if None in pair else HashModel().vector(pair) for batch in batches for pair in batch]
    assert encoded(arrays) == expected


@given(
    batches=st.lists(st.lists(texts, max_size=20), max_size=8),
    limits=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40)),
)
def test_windows_keep_all_rows_in_order_within_their_limits(
    batches: list[list[str | None]], limits: tuple[int, int, int]
) -> None:
    most, first, size = limits
    windows = [
        column.to_pylist() for (column,) in read_windows(iter([pa.array(b, pa.string()) for b in batches]), *limits)
    ]
    assert [text for window in windows for text in window] == [text for batch in batches for text in batch]
    for number, window in enumerate(windows):
        assert 1 <= len(window) <= (min(first, most) if number == 0 else most)
        assert len(window) == 1 or sum(len((text or "").encode()) for text in window) <= size


@given(batches=st.lists(st.lists(texts, max_size=20), max_size=6))
def test_a_window_ends_only_where_the_next_row_does_not_fit(batches: list[list[str | None]]) -> None:
    most, size = 7, 30
    arrays = iter([pa.array(batch, pa.string()) for batch in batches])
    windows = [column.to_pylist() for (column,) in read_windows(arrays, most, most, size)]
    for window, following in itertools.pairwise(windows):
        with_next = [*window, following[0]]
        assert len(with_next) > most or sum(len((text or "").encode()) for text in with_next) > size


def test_the_first_window_is_small_and_the_later_ones_are_large() -> None:
    sizes = [len(column) for (column,) in read_windows(iter([pa.array([f"t{i}" for i in range(30_000)])]))]
    assert sizes[0] == FIRST_WINDOW_TEXTS
    assert set(sizes[1:-1]) == {WINDOW_TEXTS}


def test_the_first_rows_come_before_the_input_is_read_to_its_end() -> None:
    read = []

    def batches() -> Iterator[pa.Array]:
        for number in range(100):
            read.append(number)
            yield pa.array([f"{number} {row}" for row in range(1000)])

    next(encode_arrays(HashModel(), batches(), PLAIN))
    assert read == [0]


def test_a_window_joins_small_batches() -> None:
    model = HashModel()
    encoded([pa.array([f"{number}"]) for number in range(300)], model=model)
    assert [len(call) for call in model.calls] == [300]


def test_each_distinct_text_of_a_window_reaches_the_model_once() -> None:
    model = HashModel()
    rows = encoded([pa.array(["a", "b", "a", None]), pa.array(["b", "a"])], model=model)
    assert model.calls == [["a", "b"]]
    assert rows == [model.vector(t) if t else None for t in ["a", "b", "a", None, "b", "a"]]


def test_each_distinct_pair_of_a_window_reaches_the_model_once() -> None:
    model = HashModel()
    pairs = [("t", "x"), ("t", "y"), ("t", "x"), ("", "t")]
    encoded([(pa.array([a for a, _ in pairs]), pa.array([b for _, b in pairs]))], model=model)
    assert sorted(model.calls[0]) == sorted(set(pairs))


def test_details_carry_tokens_and_truncation_and_are_null_for_a_null_text() -> None:
    rows = encoded([pa.array(["abc", None, "abcdef"])], DETAILS)
    assert rows[1] is None
    assert [(rows[i]["n_tokens"], rows[i]["truncated"]) for i in (0, 2)] == [(3, False), (6, True)]
    assert rows[2]["embedding"] == HashModel().vector("abcdef")


def test_counts_mark_rows_that_repeat_an_earlier_text() -> None:
    rows = encoded([pa.array(["a", "b", None, "a"]), pa.array(["a", "c", None])], COUNTS)
    assert [row and row["duplicate"] for row in rows] == [False, False, None, True, True, False, None]


@pytest.mark.parametrize("options", [PLAIN, DETAILS, COUNTS])
def test_nulls_alone_do_not_call_the_model_and_keep_the_type(options: EncodeOptions) -> None:
    model = HashModel()
    (nulls,) = encode_arrays(model, iter([pa.array([None, None], pa.string())]), options)
    (others,) = encode_arrays(HashModel(), iter([pa.array(["a"])]), options)
    assert nulls.null_count == 2
    assert nulls.type == others.type
    assert model.calls == []


def test_no_rows_give_no_rows() -> None:
    assert encoded([]) == []
    assert encoded([pa.array([], pa.string()), pa.array([], pa.string())]) == []


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, "b"], pa.large_string()),
        pa.array(["a", None, "b"], pa.string_view()),
        pa.array(["a", None, "b"]).dictionary_encode(),
        pa.chunked_array([["a"], [None, "b"]]),
        pa.chunked_array([], pa.string()),
        pa.array(["z", "a", None, "b"]).slice(1),
        pa.array([None, None], pa.null()),
    ],
    ids=["large_string", "string_view", "dictionary", "chunked", "no chunks", "slice", "null"],
)
def test_any_arrow_layout_of_strings_works(column: pa.Array) -> None:
    expected = [None if text is None else HashModel().vector(text) for text in column.to_pylist()]
    assert encoded([column]) == expected


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([b"a"]), pa.array([["a"]]), pa.array([True])])
def test_another_column_type_is_an_error_that_names_it(column: pa.Array) -> None:
    with pytest.raises(InputError, match=str(column.type)):
        encoded([column])


def test_three_columns_are_an_error() -> None:
    with pytest.raises(InputError, match="3 columns"):
        encoded([(pa.array(["a"]),) * 3])


def test_bytes_that_are_not_utf8_are_replaced_and_their_neighbours_untouched() -> None:
    raw = pa.array([b"caf\xe9", b"ok"], pa.binary())
    damaged = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    model = HashModel()
    rows = encoded([damaged], model=model)
    assert model.calls == [["caf\ufffd", "ok"]]
    assert rows[1] == model.vector("ok")


def test_one_text_larger_than_a_window_is_encoded_alone() -> None:
    model = HashModel()
    encoded([pa.array(["a", "x" * 40_000_000, "b"])], model=model)
    assert [len(call) for call in model.calls] == [1, 1, 1]


def test_the_options_reach_the_model() -> None:
    model = HashModel()
    encoded([pa.array(["a"])], EncodeOptions("p: ", "query", True, 2, task="search", batch_size=7), model)
    named = {"prompt": "p: ", "prompt_name": "query", "normalize_embeddings": True, "truncate_dim": 2}
    assert model.options == [{**named, "task": "search", "batch_size": 7}]


def test_a_window_is_one_flat_float32_buffer() -> None:
    array = encode_window(HashModel(), (pa.array(["a", None, "b", "a"], pa.large_string()),), PLAIN)
    assert array.values.type == pa.float32()
    assert len(array.values) == 3 * DIM
    assert array.offsets.to_pylist() == [0, DIM, DIM, 2 * DIM, 3 * DIM]


@dataclass
class ZeroNanModel(HashModel):
    """A model that gives a vector with a NaN for "nan", and a vector of zeros for "zero"."""

    def embed(self, texts: list[Any], **options: Any) -> Any:
        """Return the vectors of HashModel minus 40."""
        made = super().embed(texts, **options)
        made.vectors[:] -= 40
        for place, text in enumerate(texts):
            if text in ("zero", "nan"):
                made.vectors[place] = [0, np.nan if text == "nan" else 0, 0]
        return made


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_quantised_vectors_keep_nulls_and_mark_zeros_and_nans(precision: str) -> None:
    ranges = [[-40.0, -40.0, -40.0], [60.0, 60.0, 60.0]] if precision in RANGED else None
    options = EncodeOptions(counts=True, precision=precision, ranges=ranges)
    texts = ["a", None, "nan", "zero", "a", "b"]
    rows = encoded([pa.array(texts)], options, ZeroNanModel())
    vectors = ZeroNanModel().embed(["a", "zero", "b"]).vectors
    a, zero, b = quantise(vectors, precision, ranges).tolist()
    assert [row and row["embedding"] for row in rows] == [a, None, None, zero, a, b]
    assert [row and (row["zero"], row["nan"]) for row in rows] == [
        *[(False, False), None, (False, True), (True, False), (False, False), (False, False)]
    ]
    (array,) = encode_arrays(ZeroNanModel(), iter([pa.array(texts)]), EncodeOptions(precision=precision, ranges=ranges))
    assert array.type == vector_type(options)
    assert array.to_pylist() == [a, None, None, zero, a, b]

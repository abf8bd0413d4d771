"""Vectors with one byte or one bit per value: the bytes of sentence-transformers, and reading them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark import SentenceTransformer
from st_spark.choices import PRECISIONS, RANGED
from st_spark.errors import InputError
from st_spark.model.quantization import Form, dequantise, quantise, ranges_of
from tests.support.nasty import NASTY


def vectors_of(seed: int, n: int, dim: int) -> Any:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    """The tiny BERT in float32."""
    return SentenceTransformer(tiny_model, device="cpu", dtype="float32")


@settings(max_examples=50)
@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 40), st.sampled_from(PRECISIONS), st.booleans())
def test_quantise_gives_the_bytes_of_sentence_transformers(
    seed: int, n: int, dim: int, precision: str, given: bool
) -> None:
    """Also with many values outside the ranges, and with a constant dimension."""
    quantization = pytest.importorskip("sentence_transformers.util.quantization")
    vectors = vectors_of(seed, n, dim)
    vectors[:, 0] = 0.25
    ranges = ranges_of(vectors_of(seed + 1, 3, dim)) if given and precision in RANGED else None
    wanted = quantization.quantize_embeddings(vectors, precision, ranges)
    found = quantise(vectors, precision, ranges)
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)
    assert found.shape == (n, Form(precision, dim).width)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("options", [{}, {"truncate_dim": 12, "normalize_embeddings": True, "prompt": "city: "}])
def test_encode_gives_the_bytes_of_sentence_transformers(
    model: SentenceTransformer, tiny_model: Path, precision: str, options: dict[str, Any]
) -> None:
    """Vectors differ by 1e-7, so a value on the edge of a step may get the next byte."""
    theirs = pytest.importorskip("sentence_transformers").SentenceTransformer(str(tiny_model), device="cpu")
    wanted = theirs.encode(NASTY, precision=precision, **options)
    found = model.encode(NASTY, precision=precision, **options)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if precision in RANGED:
        off = np.abs(found.astype(int) - wanted.astype(int))
        assert off.max() <= 1
        assert (off == 0).mean() > 0.99
    elif precision == "float32":
        assert np.abs(found - wanted).max() <= 1e-5
    else:
        assert np.array_equal(found, wanted)


def test_single_text_needs_ranges_for_bytes_but_not_for_bits(model: SentenceTransformer) -> None:
    assert model.encode("cat", precision="ubinary").shape == (4,)
    ranges = ranges_of(model.encode(NASTY))
    assert model.encode("cat", precision="int8", ranges=ranges).shape == (32,)
    for texts in ("cat", ["cat"]):
        with pytest.raises(InputError, match=r"which a single text cannot give. Fix: give ranges=.*calibrate"):
            model.encode(texts, precision="int8")


def test_no_texts_give_an_empty_matrix(model: SentenceTransformer) -> None:
    assert [model.encode([], precision=precision).shape for precision in PRECISIONS] == [
        *[(0, 32), (0, 32), (0, 32), (0, 4), (0, 4)]
    ]


@given(st.integers(0, 1000), st.integers(2, 20), st.integers(1, 20), st.sampled_from(RANGED))
def test_bytes_are_read_with_an_error_of_half_a_step(seed: int, n: int, dim: int, precision: str) -> None:
    vectors = vectors_of(seed, n, dim)
    ranges = ranges_of(vectors)
    back = dequantise(quantise(vectors, precision, ranges), precision, dim, ranges)
    assert (np.abs(back - vectors) <= (ranges[1] - ranges[0]) / 255 / 2 + 1e-5).all()


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
def test_bits_are_read_as_signs(precision: str) -> None:
    vectors = vectors_of(0, 7, 13)
    assert np.array_equal(dequantise(quantise(vectors, precision), precision, 13), np.sign(vectors))


@pytest.mark.parametrize("precision", ["int8", "ubinary"])
def test_a_row_with_a_missing_value_is_nan(precision: str) -> None:
    form = Form(precision, 9, [[-1.0] * 9, [1.0] * 9] if precision in RANGED else None)
    codes = np.array([[1.0] * form.width, [1.0] * (form.width - 1) + [np.nan]])
    found = form.floats(codes)
    assert found.dtype == np.float32
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_values_outside_the_ranges_are_clipped() -> None:
    ranges = [[-1.0, -1.0], [1.0, 1.0]]
    assert quantise(np.array([[-9.0, 9.0], [-np.inf, np.inf]]), "int8", ranges).tolist() == [[-128, 127]] * 2
    assert quantise(np.array([[-9.0, 9.0]]), "uint8", ranges).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("precision", "ranges", "problem"),
    [
        ("int4", None, "precision='int4' is unknown"),
        ("int8", [1.0, 2.0], r"shape \(2,\), not \(2, d\)"),
        ("int8", np.zeros((3, 32)), r"shape \(3, 32\), not \(2, d\)"),
        ("int8", [[1.0], [2.0, 3.0]], "not an array of numbers"),
        ("int8", np.zeros((2, 5)), "ranges are for 5 dimensions, the vectors have 32"),
        ("uint8", [[1.0] * 32, [0.0] * 32], "a lowest value above the highest"),
        ("uint8", [[0.0] * 32, [np.nan] * 32], "or NaN or infinity"),
        ("binary", np.zeros((2, 32)), "does not use ranges"),
    ],
)
def test_wrong_vectors_and_ranges_are_rejected_with_the_reason(
    model: SentenceTransformer, precision: str, ranges: Any, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        model.encode(["a", "b"], precision=precision, ranges=ranges)


@pytest.mark.parametrize("precision", ["int8", "ubinary"])
def test_nan_is_rejected(precision: str) -> None:
    with pytest.raises(InputError, match="has a NaN"):
        quantise(np.array([[0.0, np.nan], [1.0, 2.0]]), precision)

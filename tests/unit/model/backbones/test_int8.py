"""BERT layers in int8: against float32, on real weights and on a small model of each architecture."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError
from st_spark.model.backbones import int8
from st_spark.model.backbones.int8 import Int8Linear, Range
from st_spark.model.backbones.layers import Linear
from st_spark.model.inputs.sample_texts import TEXTS
from st_spark.model.modules import transformer
from tests.support.checkpoints import write_distilbert, write_mpnet, write_roberta, write_xlm_roberta
from tests.support.paths import ROOT
from tests.support.text_checkpoints import write_albert, write_t5

CPU = torch.device("cpu")
fast = pytest.mark.skipif(not int8.is_available(), reason="this processor has no VNNI and no AMX")


def definitions(count: int) -> list[str]:
    lines = (ROOT / "demo" / "jargon.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:count]]


def cosines(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(1) / lengths)


@fast
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_a_product_differs_from_float32_by_the_steps_of_its_codes(
    rows: int, width: int, outputs: int, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    x, weight, bias = (torch.randn(shape, generator=g) for shape in ((rows, width), (outputs, width), (outputs,)))
    x, residual = x * torch.rand(width, generator=g) * 5, torch.randn(rows, outputs, generator=g)
    seen = Range()
    seen.look(x)
    layer = Int8Linear(Linear(weight, bias, torch.float32, CPU, prepack=False), seen, smoothing=0.5)
    exact, codes = x @ weight.t() + bias, layer.quantise(x)
    # Half a step of each input times its weight, and half a step of each weight times its input.
    steps = layer._scales
    factors = 1 / (layer._multiplier * layer.scale)
    bound = layer.scale / 2 * (weight * factors).abs().sum(1) + steps / 2 * (x / factors).abs().sum(1, keepdim=True)
    bound = bound + layer.scale * steps * width / 4 + 1e-3
    assert ((layer(codes) - exact).abs() <= bound).all()
    assert ((layer.add(codes, residual) - exact - residual).abs() <= bound).all()


@fast
def test_values_outside_the_measured_range_get_the_nearest_code() -> None:
    seen = Range()
    seen.look(torch.tensor([[-1.0, 0.5], [1.0, 1.0]]))
    layer = Int8Linear(Linear(torch.eye(2), None, torch.float32, CPU, prepack=False), seen)
    assert torch.allclose(layer(layer.quantise(torch.tensor([[-9.0, 9.0]]))), torch.tensor([[-1.0, 1.0]]), atol=0.01)


@fast
@pytest.mark.slow
def test_the_vectors_of_a_real_model_stay_close_to_float32(minilm: Path) -> None:
    exact, low = (SentenceTransformer(minilm, device="cpu", dtype=dtype) for dtype in ("float32", "int8"))
    assert low.dtype == "int8"
    texts = [*definitions(150), *TEXTS, "", "word " * 400]
    found = cosines(exact.encode(texts), low.encode(texts))
    assert found.min() > 0.985
    assert found.mean() > 0.997


@fast
@pytest.mark.parametrize("write", [write_roberta, write_xlm_roberta, write_distilbert, write_mpnet, write_albert])
def test_each_architecture_of_bert_computes_in_int8(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write(tmp_path / "model") or tmp_path / "model"
    exact, low = (SentenceTransformer(folder, device="cpu", dtype=dtype) for dtype in ("float32", "int8"))
    assert low.dtype == "int8"
    assert cosines(exact.encode(list(TEXTS)), low.encode(list(TEXTS))).min() > 0.98


@fast
@pytest.mark.slow
def test_two_processes_and_two_batches_give_the_same_vector(minilm: Path) -> None:
    """The ranges do not depend on the texts of a job. Only the last bits do, which can move a value by one code."""
    one, other = (SentenceTransformer(minilm, device="cpu", dtype="int8") for _ in range(2))
    texts = definitions(20)
    together = one.encode(texts)
    assert np.array_equal(together, other.encode(texts))
    alone = np.stack([other.encode(text) for text in texts])
    assert cosines(together, alone).min() > 0.9995


@fast
def test_a_model_with_another_forward_is_refused(tmp_path: Path) -> None:
    write_t5(tmp_path / "model")
    with pytest.raises(InputError, match=r"int8.*encoders like BERT.*Fix: use 'auto'"):
        SentenceTransformer(tmp_path / "model", device="cpu", dtype="int8")


@fast
def test_a_model_that_loses_too_much_is_refused_with_the_figure(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "_INT8_COSINE", 1.01)
    with pytest.raises(ModelError, match=r"cosine to float32 of only (0\.99|1\.0)"):
        SentenceTransformer(tiny_model, device="cpu", dtype="int8")


def test_a_processor_without_int8_products_is_refused(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "cpu_flags", lambda: frozenset({"avx2"}))
    int8.is_available.cache_clear()
    try:
        with pytest.raises(InputError, match=r"int8.*VNNI"):
            SentenceTransformer(tiny_model, device="cpu", dtype="int8")
    finally:
        int8.is_available.cache_clear()

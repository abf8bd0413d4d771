"""The packed T5 forward: against transformers' own, in half precision, and with a missing tensor."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model.backbones import t5
from st_spark.model.backbones.t5 import T5Backbone
from st_spark.model.backbones.transformers_model import TransformersBackbone
from tests.support.nasty import NASTY, PAIRS
from tests.support.text_checkpoints import write_gated_t5, write_t5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 with a gated feed-forward, encoder and decoder in one file."""
    return write_gated_t5(tmp_path_factory.mktemp("t5") / "model")


@pytest.mark.parametrize("feed", ["relu", "gated-gelu", "gated-silu"])
def test_every_feed_forward_gives_the_fallbacks_vectors(
    feed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gated and not; the activation is fused or not."""
    folder = write_t5(tmp_path / "model", feed, relative_attention_num_buckets=8, relative_attention_max_distance=20)
    packed = SentenceTransformer(folder, device="cpu", dtype="float32")
    monkeypatch.setattr(t5, "covers", lambda config: False)
    padded = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert isinstance(packed.modules[0].backbone, T5Backbone)
    assert isinstance(padded.modules[0].backbone, TransformersBackbone)
    texts = [*NASTY, *PAIRS]
    assert np.abs(packed.encode(texts) - padded.encode(texts)).max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float32(folder: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float16 too, which users cannot choose on a CPU; the last product of each layer is float32 then."""
    from st_spark.model import precision

    exact = SentenceTransformer(folder, device="cpu", dtype="float32").encode(NASTY)
    monkeypatch.setattr(precision, "choose", lambda name, device: dtype)
    half = SentenceTransformer(folder, device="cpu")
    assert half.dtype == str(dtype).removeprefix("torch.")
    last = half.modules[0].backbone.layers[0].down
    assert last.weight.dtype == (torch.float32 if dtype == torch.float16 else dtype)
    assert (half.encode(NASTY) * exact).sum(1).min() > 0.999


def test_a_missing_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "short")
    state = torch.load(copy / "pytorch_model.bin", weights_only=True)
    del state["encoder.block.1.layer.1.DenseReluDense.wi_1.weight"]
    torch.save(state, copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no tensor 'encoder.block.1.layer.1.DenseReluDense.wi_1.weight'"):
        SentenceTransformer(copy, device="cpu")

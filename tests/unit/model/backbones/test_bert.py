"""The packed BERT forward: against transformers' own, and names of weights in old checkpoints."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model.backbones import bert
from st_spark.model.backbones.bert import BertBackbone
from st_spark.model.backbones.transformers_model import TransformersBackbone
from tests.support.nasty import NASTY, PAIRS


@pytest.mark.slow
def test_the_transformers_fallback_equals_the_packed_forward(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    monkeypatch.setattr(bert, "find_architecture", lambda config: None)
    padded = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    assert isinstance(packed.modules[0].backbone, BertBackbone)
    assert isinstance(padded.modules[0].backbone, TransformersBackbone)
    texts = [*NASTY, *PAIRS]
    assert np.abs(packed.encode(texts) - padded.encode(texts)).max() < 1e-5


def test_weights_saved_under_a_head_are_found(tiny_model: Path, tmp_path: Path) -> None:
    """A prefix before each name, and gamma and beta, as in old checkpoints."""
    folder = shutil.copytree(tiny_model, tmp_path / "old")
    state = load_file(folder / "model.safetensors")
    renamed = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in state.items()
    }
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    new, old = (SentenceTransformer(f, device="cpu", dtype="float32") for f in (tiny_model, folder))
    assert np.array_equal(new.encode(NASTY), old.encode(NASTY))


def test_a_missing_tensor_is_named(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "short")
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"no tensor 'encoder.layer.1.output.dense.weight'"):
        SentenceTransformer(folder, device="cpu")

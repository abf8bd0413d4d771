"""The packed forward, its fallback, and its pieces against transformers'."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model.backbones import architectures
from st_spark.model.backbones.attention import _BLOCKED_FROM, attend
from st_spark.model.backbones.bert import Backbone
from st_spark.model.backbones.layers import Linear
from st_spark.model.backbones.relative_bias import relative_buckets
from st_spark.model.backbones.transformers_model import PaddedBackbone
from st_spark.model.inputs.batching import equal_groups
from tests.support.nasty import NASTY, PAIRS


def test_relative_buckets_are_those_of_transformers() -> None:
    """Every offset that 512 tokens can have."""
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    offsets = torch.arange(-511, 512)
    theirs = MPNetEncoder.relative_position_bucket(offsets, num_buckets=32)
    assert torch.equal(relative_buckets(offsets, 32), theirs)


@pytest.mark.parametrize("biased", [False, True])
def test_attention_is_softmax_of_scores_times_values(biased: bool) -> None:
    """Against the formula in float64, short texts and one of the blocked kernel's length."""
    lengths, heads, width = np.array([_BLOCKED_FROM + 3, 7, 7, 1]), 4, 32
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(int(lengths.sum()), 3 * width, generator=generator)
    bias = torch.randn(heads, 300, 300, generator=generator) if biased else None
    ours = attend(qkv, heads, equal_groups(lengths), bias)
    for start, stop in zip(np.cumsum(lengths) - lengths, np.cumsum(lengths), strict=True):
        q, k, v = (x.unflatten(1, (heads, -1)).transpose(0, 1) for x in qkv[start:stop].double().chunk(3, dim=1))
        scores = q @ k.transpose(1, 2) + (0 if bias is None else bias[:, : stop - start, : stop - start])
        expected = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
        assert (ours[start:stop] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("activation", ["none", "gelu", "gelu_tanh", "relu"])
def test_the_prepacked_layer_equals_the_plain_one(activation: str) -> None:
    """OneDNN's fused layer against torch's, with activation and with residual."""
    generator = torch.Generator().manual_seed(1)
    weight, bias, x = (torch.randn(*shape, generator=generator) for shape in ((48, 32), (48,), (10, 32)))
    fused, plain = (Linear(weight, bias, torch.float32, torch.device("cpu")) for _ in range(2))
    plain.packed, plain.weight = False, weight
    residual = torch.randn(10, 48, generator=generator)
    assert torch.allclose(fused(x, activation), plain(x, activation), atol=1e-5)
    assert torch.allclose(fused.add(x, residual), plain.add(x, residual), atol=1e-5)


def test_the_fallback_equals_the_packed_forward(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture without a table of names runs through transformers, padded."""
    packed = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    monkeypatch.setattr(architectures, "find", lambda config: None)
    padded = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    assert isinstance(packed.modules[0].backbone, Backbone)
    assert isinstance(padded.modules[0].backbone, PaddedBackbone)
    texts = [*NASTY, *PAIRS]
    assert np.abs(packed.encode(texts) - padded.encode(texts)).max() < 1e-5


def test_weights_saved_under_a_head_are_found(tiny_model: Path, tmp_path: Path) -> None:
    """A prefix." before each name, and gamma and beta, as in old checkpoints."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_model, tmp_path / "old")
    state = load_file(folder / "model.safetensors")
    renamed = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in state.items()
    }
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    new, old = (SentenceTransformer(f, device="cpu", dtype="float32") for f in (tiny_model, folder))
    assert np.array_equal(new.encode(NASTY), old.encode(NASTY))


def test_plain_pickled_weights_load_and_code_in_a_pickle_does_not(tiny_model: Path, tmp_path: Path) -> None:
    """pytorch_model.bin is read with weights_only; what would run code is refused."""
    import pickle

    from safetensors.torch import load_file

    folder = shutil.copytree(tiny_model, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    vectors = SentenceTransformer(folder, device="cpu", dtype="float32").encode(NASTY)
    assert np.array_equal(vectors, SentenceTransformer(tiny_model, device="cpu", dtype="float32").encode(NASTY))

    mark = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (mark,))  # type: ignore[return-value]

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"embeddings": Trap()}))
    with pytest.raises(ModelError, match="not a file of plain weights"):
        SentenceTransformer(folder, device="cpu")
    assert not mark.exists()


def test_a_missing_tensor_is_named(tiny_model: Path, tmp_path: Path) -> None:
    """With the folder and the name."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_model, tmp_path / "short")
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"no tensor 'encoder.layer.1.output.dense.weight'"):
        SentenceTransformer(folder, device="cpu")


def test_a_damaged_weights_file_is_named(tiny_model: Path, tmp_path: Path) -> None:
    """Half a download."""
    folder = shutil.copytree(tiny_model, tmp_path / "half")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        SentenceTransformer(folder, device="cpu")

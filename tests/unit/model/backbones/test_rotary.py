"""The packed forward with rotary positions: the oracle's vectors, and what is left to transformers."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model.backbones.rotary import RotaryBackbone, read_settings
from tests.support import rotary_checkpoints
from tests.support.nasty import NASTY, PAIRS
from tests.support.oracle import assert_close, assert_same_vectors, oracle

pytestmark = pytest.mark.slow  # all families together
# No token, one, some, one window, several windows, and more than the limit of 600.
LENGTHS = ["", "x", "the cat", "the sun and the moon on the mat " * 2, "river " * 40, "city table " * 60, "a b " * 700]
TEXTS = [*LENGTHS, *NASTY[3:]]


def load(folder: Path, dtype: str = "float32") -> SentenceTransformer:
    model = SentenceTransformer(folder, device="cpu", dtype=dtype)
    assert isinstance(model.modules[0].backbone, RotaryBackbone)
    return model


@pytest.fixture(scope="module", params=rotary_checkpoints.WRITERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of each family."""
    return rotary_checkpoints.WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.mark.slow
def test_vectors_are_the_oracles_in_any_batch(folder: Path) -> None:
    """float32 to 1e-5, with prompts and pairs; and near them in bfloat16."""
    ours, theirs = load(folder), oracle(folder)
    vectors = ours.encode(TEXTS)
    assert_close(vectors, theirs.encode(TEXTS, batch_size=4))
    assert (vectors @ vectors.T).min() < 0.9  # else equal vectors would prove little
    for place in (1, 3, 5):
        assert np.abs(ours.encode(TEXTS[place]) - vectors[place]).max() < 1e-6
    assert_close(ours.encode_query(LENGTHS), theirs.encode_query(LENGTHS, batch_size=4))
    assert_same_vectors(ours, theirs, [list(pair) for pair in PAIRS])
    assert ours.max_seq_length == theirs.max_seq_length
    half = load(folder, "bfloat16").encode(TEXTS)
    assert ((half * vectors).sum(1) / np.linalg.norm(half, axis=1) / np.linalg.norm(vectors, axis=1)).min() > 0.998


THETA = {"rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, **THETA}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("qwen3", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, **THETA}}),
        ("qwen3", {"rope_parameters": YARN, "max_position_embeddings": 512}),
        ("qwen3", {"attention_bias": True, "hidden_act": "gelu_new"}),
        ("llama", {"is_causal": False}),
        ("gemma3", {"use_bidirectional_attention": False}),
        ("qwen3", {"use_bidirectional_attention": True}),
        ("mistral", {"sliding_window": None}),
        ("modernbert", {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "local_attention": 8}),
        ("modernbert", {"global_attn_every_n_layers": 1, "hidden_activation": "silu"}),
    ],
    ids=[
        "linear",
        "yarn",
        "biases",
        "both ways",
        "causal gemma",
        "only gemma turns",
        "no window",
        "modernbert's biases",
        "all global",
    ],
)
def test_settings_of_a_config_are_honoured(tmp_path: Path, family: str, settings: dict[str, Any]) -> None:
    folder = rotary_checkpoints.WRITERS[family](tmp_path / "model", **settings)
    assert_same_vectors(load(folder), oracle(folder), LENGTHS)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("qwen3", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, **THETA}}),
        ("qwen3", {"rope_parameters": {**YARN, "partial_rotary_factor": 0.5}}),
        ("qwen3", {"hidden_act": "tanh"}),
        ("qwen3", {"quantization_config": {"quant_method": "gptq", "bits": 4}}),
        ("qwen3", {"layer_types": ["full_attention", "chunked_attention"], "num_hidden_layers": 2}),
        ("qwen2", {"is_causal": False, "use_sliding_window": True, "max_window_layers": 0}),
        ("eurobert", {"is_causal": True}),
        ("llama", {"layer_types": ["sliding_attention"] * 32, "sliding_window": 8}),
        ("qwen3", {"layer_types": ["sliding_attention"] * 32, "use_sliding_window": False}),
        ("mistral", {"layer_types": ["full_attention"] * 32}),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}),
        ("gemma2", {}),
        ("deberta-v2", {}),
    ],
)
def test_what_it_does_not_know_is_left_to_transformers(family: str, settings: dict[str, Any]) -> None:
    from transformers import AutoConfig

    assert read_settings(AutoConfig.for_model(family, **settings)) is None


@pytest.mark.slow
@pytest.mark.parametrize("family", ["nomic", "gte", "jina"])
def test_the_names_of_the_hub_and_of_transformers_are_one_model(tmp_path: Path, family: str) -> None:
    """The class of transformers saves the names of the hub."""
    from transformers import AutoModel

    folder = rotary_checkpoints.WRITERS[family](tmp_path / "model")
    hub = load(folder).encode(LENGTHS)
    state = {name: weight.contiguous() for name, weight in AutoModel.from_pretrained(folder).state_dict().items()}
    assert set(state) != set(load_file(folder / "model.safetensors"))
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert np.array_equal(load(folder).encode(LENGTHS), hub)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3."""
    return rotary_checkpoints.write_qwen3(tmp_path_factory.mktemp("qwen3") / "model")


def changed(folder: Path, copy: Path, **tensors: torch.Tensor | None) -> Path:
    """Return a copy of a checkpoint with other tensors; None removes one. The names are those after "layers.1."."""
    shutil.copytree(folder, copy)
    state = load_file(copy / "model.safetensors")
    for name, tensor in tensors.items():
        key = f"layers.1.{name.replace('__', '.')}.weight"
        state.pop(key, None)
        state |= {} if tensor is None else {key: tensor}
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    return copy


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"mlp__up_proj": None}, "no tensor 'layers.1.mlp.up_proj.weight'"),
        ({"self_attn__q_norm": None}, "no tensor 'layers.1.self_attn.q_norm.weight'"),
        ({"self_attn__sinks": torch.ones(4)}, "does not mention: layers.1.self_attn.sinks"),
        ({"self_attn__k_proj": torch.ones(8, 32)}, "heads of 16, which the 104 rows of layers.1.self_attn.q_proj"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    qwen3: Path, tmp_path: Path, tensors: dict[str, torch.Tensor | None], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        SentenceTransformer(changed(qwen3, tmp_path / "copy", **tensors), device="cpu")


def test_weights_saved_under_a_head_are_found(qwen3: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(qwen3, tmp_path / "head")
    state = {f"model.{name}": weight for name, weight in load_file(copy / "model.safetensors").items()}
    save_file({**state, "lm_head.weight": torch.ones(3, 32)}, copy / "model.safetensors", {"format": "pt"})
    assert np.array_equal(load(copy).encode(LENGTHS), load(qwen3).encode(LENGTHS))


def test_only_empty_texts_without_special_tokens_give_zeros(qwen3: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(qwen3, tmp_path / "bare")
    file = copy / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": None}))
    model = load(copy)
    assert model.embed(["", ""]).n_tokens.tolist() == [0, 0]
    assert not model.encode(["", ""]).any()

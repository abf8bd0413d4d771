"""Checkpoints whose files do not fit together, or need code or packages that are not here: none loads."""

import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model.checkpoint import checkpoint
from tests.support import checkpoints, clip_checkpoints, text_checkpoints
from tests.support.broken_checkpoints import Change, config, lost, pickled, sharded, tensors, with_also, without, write
from tests.support.oracle import assert_same_vectors, oracle


def remote(**auto_map: str) -> Change:
    return config(auto_map=auto_map)


def slow_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    write("tokenizer_config.json", '{"tokenizer_class": "PhobertTokenizer"}')(folder)


# An ALBERT with two layers in each group runs through the transformers fallback.
FALLBACK = partial(text_checkpoints.write_albert, inner_group_num=2)
CLIP = clip_checkpoints.write_transformers_clip
WRITERS: dict[str, Callable[[Path], Path]] = {
    **checkpoints.WRITERS,
    **text_checkpoints.WRITERS,
    "albert": FALLBACK,
    "clip": CLIP,
}
LAYER = "encoder.layer.1.output.dense.weight"
ALBERT = "encoder.albert_layer_groups.0.albert_layers.0"

BROKEN: list[tuple[str, Change, str]] = [
    # The weights are not the architecture's.
    ("bert", without(LAYER), f"has no tensor '{LAYER}'"),
    ("bert", config(num_hidden_layers=1), "weights that its config.json does not mention: encoder.layer.1."),
    ("bert", config(num_hidden_layers=3), "has no tensor 'encoder.layer.2."),
    ("bert", with_also("encoder.layer.0.lora_A.weight"), "does not mention: encoder.layer.0.lora_A.weight"),
    ("distilbert", config(n_layers=1), "does not mention: transformer.layer.1."),
    ("t5", config(num_layers=1), "does not mention: encoder.block.1."),
    ("bert", without("embeddings.token_type_embeddings.weight"), "has no tensor 'embeddings.token_type_"),
    ("electra", without("embeddings_project.weight"), "has no tensor 'embeddings_project.weight'"),
    ("bert", config(hidden_size=64), "a width of 64, the weights have 32"),
    ("t5", config(num_heads=3), "3 attention heads"),
    ("bert", config(num_attention_heads=5), "5 attention heads"),
    ("bert", config(num_attention_heads=0), "0 attention heads"),
    ("clip", config(text_config={"num_hidden_layers": 1, "hidden_size": 32}), "does not mention: text_model.encoder"),
    ("albert", without(f"{ALBERT}.ffn.weight"), f"lacks {ALBERT}.ffn.weight"),
    ("albert", with_also(f"{ALBERT}.q_norm.weight"), f"also has {ALBERT}.q_norm.weight"),
    ("albert", config(hidden_size=64), "does not hold the weights of AlbertModel: it has the shapes"),
    ("bert", config(position_embedding_type="alibi"), "alibi"),
    ("albert", config(model_type="nomic_bert", rotary_emb_base=10000), "'rotary_emb_base' is 10000"),
    # They would never be built.
    ("bert", config(num_hidden_layers=10**6), "'num_hidden_layers' is 1000000"),
    ("albert", config(num_hidden_layers=10**12), "'num_hidden_layers' is 1000000000000"),
    ("t5", config(num_layers=10**6), "'num_layers' is 1000000"),
    ("clip", config(vision_config={"num_hidden_layers": 10**6}), "'num_hidden_layers' is 1000000"),
    ("clip", config(vision_config={"image_size": 10**6, "patch_size": 8, "hidden_size": 48}), "patches"),
    # Files are missing or damaged.
    ("bert", lost("model.safetensors"), "has no weights"),
    ("albert", write("model.safetensors", b"\x10"), "cannot be read"),
    ("albert", write("model.safetensors", b""), "cannot be read"),
    ("bert", sharded({"weight_map": {LAYER: "model-1-of-2.safetensors"}}), "model-1-of-2.safetensors is missing"),
    ("bert", sharded({"weights": {}}), "'weight_map' is None"),
    ("bert", sharded([]), "the whole file is []"),
    ("albert", pickled([1, 2]), "not a file of plain weights"),
    ("bert", pickled({"state_dict": {LAYER: torch.zeros(1)}}), "it is no dict of tensors"),
    ("albert", lambda folder: pickled({})(folder) or write("pytorch_model.bin", b"")(folder), "plain weights"),
    ("albert", write("config.json", "{"), "cannot be read as JSON"),
    ("albert", config(model_type="never-heard-of"), "config.json cannot be used"),
    ("albert", config(hidden_size="wide"), "config.json cannot be used"),
    ("bert", lost("tokenizer.json", "vocab.txt"), "has neither tokenizer.json nor vocab.txt"),
    ("roberta", lost("tokenizer.json"), "has neither tokenizer.json nor merges.txt, vocab.json"),
    ("clip", lost("merges.txt"), "the tokenizer of"),
    # Code and packages.
    ("bert", remote(AutoModel="modeling_bert.JinaBertModel"), "code of its own ('modeling_bert.JinaBertModel')"),
    ("albert", remote(AutoConfig="x.C", AutoModel="x.GritModel"), "code of its own ('x.GritModel')"),
]


@pytest.mark.parametrize(("family", "change", "says"), BROKEN, ids=[f"{a}: {c}" for a, _, c in BROKEN])
def test_a_checkpoint_that_does_not_fit_together_is_refused(
    tmp_path: Path, family: str, change: Change, says: str
) -> None:
    """In one line, at once."""
    folder = WRITERS[family](tmp_path / "model")
    change(folder)
    with pytest.raises(ModelError) as caught:
        SentenceTransformer(folder, device="cpu")
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("bert", without("pooler.dense.weight", "pooler.dense.bias")),
        ("bert", with_also("cls.predictions.bias", "classifier.weight")),
        ("bert", tensors(lambda stored: stored.update({"embeddings.position_ids": torch.arange(512)[None]}))),
        ("bert", remote(AutoModelForMaskedLM="x.Y")),
        ("albert", without("pooler.weight", "pooler.bias")),
        ("albert", with_also("predictions.bias", "qa_outputs.weight")),
        ("albert", with_also(f"{ALBERT}.attention.bias", f"{ALBERT}.attn.masked_bias")),
        ("albert", config(num_hidden_layers=40)),
        ("gated-t5", lambda _: None),
    ],
    ids=[
        *("no pooler", "head", "buffer", "code for a head", "fallback, no pooler", "fallback, head"),
        *("causal masks", "shared layers", "decoder"),
    ],
)
def test_a_checkpoint_with_other_heads_loads(tmp_path: Path, family: str, change: Change) -> None:
    """A pooler, a head, a decoder: the vectors do not depend on them."""
    folder = WRITERS[family](tmp_path / "model")
    change(folder)
    ours = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert_same_vectors(ours, oracle(folder), ["a cat", "the sun and the moon"])


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("bert", lost("model.safetensors")),
        ("bert", sharded({"weight_map": {LAYER: "model-1-of-2.safetensors"}})),
        ("bert", remote(AutoModel="x.Y")),
        ("bert", write("adapter_config.json", '{"peft_type": "LORA"}')),
        ("bert", slow_tokenizer),
    ],
    ids=["no weights", "a missing shard", "code", "an adapter without peft", "a slow tokenizer"],
)
@pytest.mark.parametrize("plain", [False, True])
def test_the_driver_sees_it_before_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, change: Change, plain: bool
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find_spec(name))
    folder = WRITERS[family](tmp_path / "model")
    change(folder)
    if plain:
        (folder / "modules.json").unlink()
    with pytest.raises(ModelError, match=r"no weights|is missing|code of its own|package peft|only the tokenizer Phob"):
        checkpoint.read(folder)


def test_the_model_of_an_image_and_a_text_is_refused_by_name(tmp_path: Path) -> None:
    """SigLIP has no text encoder of its own in transformers' AutoModel."""
    from transformers import SiglipConfig, SiglipModel

    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    size = checkpoints.write_wordpiece(tmp_path)
    sizes["num_attention_heads"] = 2
    text = {**sizes, "vocab_size": size, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="SiglipModel cannot encode a text alone"):
        SentenceTransformer(tmp_path, device="cpu")


@pytest.mark.parametrize("name", ["sans_pos", "rope"])
def test_a_name_for_positions_does_not_matter_without_learned_ones(tmp_path: Path, name: str) -> None:
    """As in the configs of mmBERT and GTE."""
    from transformers import ModernBertConfig, ModernBertModel

    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    special: dict[str, Any] = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2}
    words = checkpoints.write_wordpiece(tmp_path)
    settings = ModernBertConfig(vocab_size=words, num_attention_heads=2, eos_token_id=3, **sizes, **special)
    ModernBertModel(settings).save_pretrained(tmp_path)
    plain = SentenceTransformer(tmp_path, device="cpu", dtype="float32").encode("a cat")
    config(position_embedding_type=name)(tmp_path)
    assert np.array_equal(SentenceTransformer(tmp_path, device="cpu", dtype="float32").encode("a cat"), plain)


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_token_beyond_the_embeddings_is_the_unknown_token(tmp_path: Path, family: str) -> None:
    """EmbeddingGemma's tokenizer has one; a text that holds it must not end a job."""
    folder = WRITERS[family](tmp_path / "model")
    model = SentenceTransformer(folder, device="cpu", dtype="float32")
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    token = {"id": model.modules[0].backbone.rows, "content": "<beyond>", "single_word": False, "lstrip": False}
    tokenizer["added_tokens"].append({**token, "rstrip": False, "normalized": False, "special": True})
    file.write_text(json.dumps(tokenizer))
    model = SentenceTransformer(folder, device="cpu", dtype="float32")
    unknown = model.modules[0].tokenizer.auto.unk_token
    assert np.array_equal(model.encode("a <beyond> cat"), model.encode(f"a {unknown} cat"))


def test_empty_texts_without_special_tokens_give_zeros(tmp_path: Path) -> None:
    """A whole batch of them was a crash, in the packed forward and in the fallback."""
    for family in ("bert", "albert", "t5"):
        folder = WRITERS[family](tmp_path / family)
        file = folder / "tokenizer.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": None}))
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
        model = SentenceTransformer(folder, device="cpu", dtype="float32")
        alone = model.embed(["", ""])
        assert alone.n_tokens.tolist() == [0, 0]
        assert np.array_equal(alone.vectors, model.encode(["a cat", "", ""])[1:])
        assert not np.isnan(alone.vectors).any()


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_an_adapter_beside_its_model_is_loaded_by_peft(tmp_path: Path, family: str) -> None:
    """Also for an architecture that has a packed forward."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModel

    folder = WRITERS[family](tmp_path / "model")
    without_adapter = SentenceTransformer(folder, device="cpu", dtype="float32").encode("a cat")
    settings = peft.LoraConfig(r=4, target_modules=["query", "value"], init_lora_weights=False)
    peft.get_peft_model(AutoModel.from_pretrained(folder), settings).save_pretrained(folder)
    ours = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert_same_vectors(ours, oracle(folder), ["a cat", "the sun and the moon"])
    assert np.abs(ours.encode("a cat") - without_adapter).max() > 1e-3

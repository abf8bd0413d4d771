"""Encoders of translation and other sequence-to-sequence models, and decoders that end at a number of tokens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model import check
from tests.support import checkpoints
from tests.support.oracle import assert_same_vectors, oracle

TEXTS = ["a cat", "the sun and the moon", "rain", ""]


def write_tokenizer(folder: Path) -> int:
    """Write a Unigram tokenizer of 64 tokens at most and return the size of its vocabulary."""
    tokenizer = checkpoints.unigram(["<pad>", "<eos>", "<bos>", "<unk>"], 3)
    vocabulary = tokenizer.get_vocab()
    ends = [(token, vocabulary[token]) for token in ("<bos>", "<eos>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A $B <eos>", special_tokens=ends
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    names["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps({**names, "model_max_length": 64}))
    return len(vocabulary)


SEQ2SEQ: dict[str, Any] = {"d_model": 32, "pad_token_id": 0, "max_position_embeddings": 64}
for part in ("encoder", "decoder"):
    SEQ2SEQ |= {f"{part}_layers": 1, f"{part}_attention_heads": 2, f"{part}_ffn_dim": 64}


def sonar(words: int) -> Any:
    from transformers import M2M100Config
    from transformers.models.m2m_100.modeling_m2m_100 import M2M100Encoder

    return M2M100Encoder(M2M100Config(vocab_size=words, **SEQ2SEQ))


def t5gemma(words: int) -> Any:
    from transformers import T5GemmaConfig, T5GemmaModel

    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    sizes = {"vocab_size": words, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, **heads}
    sizes |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    decoder = {**sizes, "cross_attention_hidden_size": 32}
    return T5GemmaModel(T5GemmaConfig(encoder=sizes, decoder=decoder, vocab_size=words))


def mpt(words: int) -> Any:
    from transformers import MptConfig, MptModel

    return MptModel(MptConfig(vocab_size=words, d_model=32, n_heads=2, n_layers=1, max_seq_len=16))


def gptj(words: int) -> Any:
    from transformers import GPTJConfig, GPTJModel

    return GPTJModel(GPTJConfig(vocab_size=words, n_embd=32, n_head=2, n_layer=1, n_positions=16, rotary_dim=8))


def marian(words: int) -> Any:
    from transformers import MarianConfig, MarianModel

    return MarianModel(MarianConfig(vocab_size=words, decoder_start_token_id=0, **SEQ2SEQ))


def write(build: Callable[[int], Any], folder: Path) -> Path:
    build(write_tokenizer(folder)).save_pretrained(folder)
    checkpoints.write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    checkpoints.write_pooling(folder, 32)
    return folder


@pytest.mark.parametrize(
    ("build", "longest"), [pytest.param(sonar, 64, marks=pytest.mark.slow), (t5gemma, 64), (mpt, 16), (gptj, 16)]
)
def test_vectors_equal_the_oracle_up_to_the_longest_text(
    tmp_path: Path, build: Callable[[int], Any], longest: int
) -> None:
    """Of a longer text the model reads its first tokens, and says so."""
    folder = write(build, tmp_path / "model")
    assert not check.examine(folder).faults
    ours = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert_same_vectors(ours, oracle(folder), TEXTS)
    long = ours.embed(["the cat sat on the mat " * 40])
    assert long.n_tokens[0] == ours.max_seq_length == longest and long.truncated[0]


def test_a_translator_with_a_decoder_is_refused_by_name(tmp_path: Path) -> None:
    folder = write(marian, tmp_path / "model")
    (fault,) = check.examine(folder).faults
    assert "MarianModel cannot encode a text alone" in str(fault)
    with pytest.raises(ModelError, match="MarianModel"):
        SentenceTransformer(folder, device="cpu")

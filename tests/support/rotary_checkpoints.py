"""Write tiny checkpoints of the families with rotary positions, in the true layout, with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from tests.support.checkpoints import WORDS, unigram, write_dense, write_json, write_modules, write_wordpiece

DIM = 32
SIZES = {"hidden_size": DIM, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
# Large enough for attention that is far from even.
STD = 0.2


def write_bpe(folder: Path, start: str = "", end: str = "<end>", padding_side: str = "left") -> int:
    """Write a byte-level BPE tokenizer as in Qwen or ModernBERT, with an end token; return its size."""
    specials = [token for token in ("<pad>", start, end) if token]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 5, trainer)
    save(tokenizer, folder, start, end, padding_side)
    return int(tokenizer.get_vocab_size())


def save(tokenizer: Tokenizer, folder: Path, start: str, end: str, padding_side: str) -> None:
    """Write tokenizer.json and tokenizer_config.json, with a start and an end token around each text."""
    marks = [(token, tokenizer.token_to_id(token)) for token in (start, end) if token]
    before, after = (f"{token} " if token else "" for token in (start, end))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before}$A {after}".strip(), pair=f"{before}$A {after}$B {after}".strip(), special_tokens=marks
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", **({"eos_token": end} if end else {}), **({"bos_token": start} if start else {})}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 600, "padding_side": padding_side}
    write_json(folder / "tokenizer_config.json", {**names, **settings})


def write_model(folder: Path, model_type: str, mode: str = "mean", **settings: Any) -> Path:
    """Write a random model whose norms and biases are neither 0 nor 1, with one pooling and a query prompt."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(11)
    config = AutoConfig.for_model(model_type, **{**SIZES, **settings})
    model = AutoModel.from_config(config).eval()
    for name, weight in model.named_parameters():
        scales = name.endswith("weight") and weight.dim() == 1  # of a norm; zeros and ones would hide a mistake
        torch.nn.init.normal_(weight, mean=1.0 if scales else 0.0, std=STD)
    model.save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write_json(folder / "1_Pooling" / "config.json", {"embedding_dimension": DIM, "pooling_mode": mode})
    prompts = {"query": "Instruct: find the city\nQuery:", "document": ""}
    write_json(folder / "config_sentence_transformers.json", {"__version__": {}, "prompts": prompts})
    return folder


def write_modernbert(folder: Path, **settings: Any) -> Path:
    """Write a ModernBERT: two layers of three see only near tokens."""
    size = write_bpe(folder, "<cls>", "<sep>", "right")
    local = {"local_attention": 32, "num_hidden_layers": 4, "vocab_size": size, "pad_token_id": 0}
    return write_model(folder, "modernbert", "cls", **{**local, **settings})


def write_qwen3(folder: Path, **settings: Any) -> Path:
    """Write a Qwen3-Embedding: causal, grouped queries, heads wider than the width, the last token."""
    heads = {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": write_bpe(folder)}
    return write_model(folder, "qwen3", "lasttoken", **{**heads, **settings})


def write_qwen2(folder: Path, **settings: Any) -> Path:
    """Write a Qwen2: biases at queries, keys and values alone; a window in the later layers."""
    slides = {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}
    size = write_bpe(folder)
    return write_model(
        folder, "qwen2", "lasttoken", **{"vocab_size": size, "num_key_value_heads": 2, **slides, **settings}
    )


def write_mistral(folder: Path, **settings: Any) -> Path:
    """Write a Mistral: a window in all layers."""
    size = write_unigram(folder)
    more = {"vocab_size": size, "num_key_value_heads": 2, "sliding_window": 24}
    return write_model(folder, "mistral", "lasttoken", **{**more, **settings})


def write_llama(folder: Path, **settings: Any) -> Path:
    """Write a Llama 3: scaled positions, weighted mean, biases."""
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    size = write_unigram(folder)
    more = {"vocab_size": size, "num_key_value_heads": 1, "rope_parameters": rope, "max_position_embeddings": 512}
    biases = {"attention_bias": True, "mlp_bias": True}
    return write_model(folder, "llama", "weightedmean", **{**more, **biases, **settings})


def write_eurobert(folder: Path, **settings: Any) -> Path:
    """Write a EuroBERT: a Llama in which tokens see in both directions."""
    return write_model(
        folder, "eurobert", **{"vocab_size": write_bpe(folder, "<start>"), "pad_token_id": 0, **settings}
    )


def write_unigram(folder: Path) -> int:
    """Write a Unigram tokenizer with a start and an end token, as in Llama and Gemma; return its size."""
    tokenizer = unigram(["<pad>", "</s>", "<s>", "<unk>"], 3)
    save(tokenizer, folder, "<s>", "</s>", "left")
    return int(tokenizer.get_vocab_size())


def write_gemma3(folder: Path, **settings: Any) -> Path:
    """Write an EmbeddingGemma: tokens see in both directions, two Dense without bias after the pooling."""
    size = write_unigram(folder)
    gemma = {"num_key_value_heads": 1, "head_dim": 16, "query_pre_attn_scalar": 20, "num_hidden_layers": 4}
    near = {"sliding_window": 32, "sliding_window_pattern": 2, "use_bidirectional_attention": True}
    write_model(folder, "gemma3_text", **{"vocab_size": size, **gemma, **near, **settings})
    dense = [("2_Dense", "Dense"), ("3_Dense", "Dense"), ("4_Normalize", "Normalize")]
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), *dense)
    write_dense(folder / "2_Dense", DIM, 64, bias=False, activation="Identity")
    write_dense(folder / "3_Dense", 64, DIM, bias=False, activation="Identity")
    return folder


def write_nomic(folder: Path, **settings: Any) -> Path:
    """Write a NomicBERT: BERT's tokenizer and segments, rotary positions, a gated feed-forward."""
    return write_model(folder, "nomic_bert", **{"vocab_size": write_wordpiece(folder), **settings})


def write_gte(folder: Path, **settings: Any) -> Path:
    """Write a multilingual GTE: XLM-R's kind of tokenizer, rotary positions, gated GELU."""
    return write_model(folder, "gte", "cls", **{"vocab_size": write_unigram(folder), "pad_token_id": 0, **settings})


def write_jina(folder: Path, **settings: Any) -> Path:
    """Write a jina-embeddings-v3 without adapters: rotary positions, a plain feed-forward."""
    settings = {"vocab_size": write_unigram(folder), "pad_token_id": 0, **settings}
    return write_model(folder, "jina_embeddings_v3", **settings)


WRITERS: dict[str, Callable[..., Path]] = {
    "modernbert": write_modernbert,
    "qwen3": write_qwen3,
    "qwen2": write_qwen2,
    "mistral": write_mistral,
    "llama": write_llama,
    "eurobert": write_eurobert,
    "gemma3": write_gemma3,
    "nomic": write_nomic,
    "gte": write_gte,
    "jina": write_jina,
}

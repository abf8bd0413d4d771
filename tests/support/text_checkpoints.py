"""Write tiny checkpoints of the documented models that differ from the families of checkpoints.py."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import normalizers, processors

from tests.support.checkpoints import (
    save_with_roberta_specials,
    unigram,
    write_bert,
    write_dense,
    write_distilbert,
    write_json,
    write_modules,
    write_pooling,
    write_wordpiece,
)

DIM = 32


def old_weights(folder: Path) -> None:
    """Replace model.safetensors by pytorch_model.bin, the file of old versions."""
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()


def write_t5(folder: Path, feed: str = "relu", whole: bool = False, **settings: Any) -> Path:
    """Write a T5 encoder, mean pooling, Dense without bias and Normalize: sentence-t5, gtr-t5, instructor.

    Heads times head size is not the width, as in the xl models. `whole` saves encoder and decoder, as plain T5 does.
    """
    from transformers import T5Config, T5EncoderModel, T5Model

    tokenizer = unigram(["<pad>", "</s>", "<unk>"], 2)
    end = [("</s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=end
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "extra_ids": 0}
    write_json(folder / "tokenizer_config.json", {**names, "tokenizer_class": "T5Tokenizer", "model_max_length": 512})
    torch.manual_seed(5)
    config = T5Config(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=DIM,
        d_kv=16,
        num_heads=4,
        num_layers=2,
        d_ff=64,
        feed_forward_proj=feed,
        **settings,
    )
    model: Any = (T5Model if whole else T5EncoderModel)(config)
    for name, weight in model.named_parameters():
        if "relative_attention_bias" in name or "layer_norm" in name:  # zeros and ones would hide a mistake
            torch.nn.init.normal_(weight, mean=1.0)
    model.save_pretrained(folder)
    write_modules(
        folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")
    )
    write_pooling(folder, DIM)
    write_dense(folder / "2_Dense", DIM, 24, bias=False, activation="Identity")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": False})
    return folder


def write_gated_t5(folder: Path) -> Path:
    """Write a T5 v1.1 with gated GELU, encoder and decoder, in old files."""
    write_t5(folder, "gated-gelu", whole=True)
    old_weights(folder)
    old_weights(folder / "2_Dense")
    return folder


def write_distiluse(folder: Path) -> Path:
    """Write distiluse-base-multilingual-cased: DistilBERT, mean, Dense with bias and Tanh, in old files."""
    write_distilbert(folder, pooling="mean_tokens")
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
    write_dense(folder / "2_Dense", DIM, 16)
    old_weights(folder / "2_Dense")
    (folder / "sentence_bert_config.json").rename(folder / "sentence_distilbert_config.json")
    return folder


def write_clip_multilingual(folder: Path) -> Path:
    """Write clip-ViT-B-32-multilingual-v1: DistilBERT, mean, Dense without bias or activation."""
    write_distiluse(folder)
    shutil.rmtree(folder / "2_Dense")
    write_dense(folder / "2_Dense", DIM, 16, bias=False, activation="Identity")
    return folder


def write_labse(folder: Path) -> Path:
    """Write LaBSE: BERT, first token, Dense with bias and Tanh, and a Normalize without a folder."""
    write_bert(folder, max_seq_length=256)
    write_modules(
        folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")
    )
    write_pooling(folder, DIM, "cls_token")
    write_dense(folder / "2_Dense", DIM, DIM)
    return folder


def write_dpr(folder: Path) -> Path:
    """Write facebook-dpr-ctx_encoder or allenai-specter: BERT, first token, nothing else."""
    write_bert(folder, max_seq_length=509)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    write_pooling(folder, DIM, "cls_token")
    return folder


def write_multilingual_minilm(folder: Path) -> Path:
    """Write paraphrase-multilingual-MiniLM-L12-v2: BertModel, padding id 0, the Unigram tokenizer of XLM-R."""
    from transformers import BertConfig, BertModel

    tokenizer = unigram(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], 3)
    save_with_roberta_specials(tokenizer, folder, "XLMRobertaTokenizer")
    torch.manual_seed(6)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=DIM,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    BertModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    write_pooling(folder, DIM)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    return folder


def write_albert(folder: Path, **settings: Any) -> Path:
    """Write paraphrase-albert-small-v2: layers with shared weights, narrower embeddings, a Unigram tokenizer."""
    from transformers import AlbertConfig, AlbertModel

    tokenizer = unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], 1)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "pad_token": "<pad>"}
    names |= {"unk_token": "<unk>", "tokenizer_class": "AlbertTokenizer"}
    write_json(folder / "tokenizer_config.json", {**names, "model_max_length": 512})
    torch.manual_seed(7)
    config = AlbertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        embedding_size=16,
        hidden_size=DIM,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        **settings,
    )
    AlbertModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    write_pooling(folder, DIM)
    write_json(folder / "sentence_albert_config.json", {"max_seq_length": 100, "do_lower_case": False})
    return folder


def weigh_layers(folder: Path, layers: int, *kinds: str) -> None:
    """Insert WeightedLayerPooling after the Transformer of a saved model, and add modules after the pooling."""
    from safetensors.torch import save_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "output_hidden_states": True})
    later = [(f"{place}_{kind}", kind) for place, kind in enumerate(kinds, 3)]
    weighed = ("1_WeightedLayerPooling", "WeightedLayerPooling")
    write_modules(folder, ("", "Transformer"), weighed, ("1_Pooling", "Pooling"), *later)
    settings = {"word_embedding_dimension": DIM, "layer_start": 1, "num_hidden_layers": layers}
    write_json(folder / weighed[0] / "config.json", settings)
    save_file({"layer_weights": torch.rand(layers)}, folder / weighed[0] / "model.safetensors")


def write_layers(folder: Path) -> Path:
    """Write a BERT with the weighted mean of its layers, then LayerNorm and Dropout after the pooling."""
    from safetensors.torch import save_file

    weigh_layers(write_bert(folder), 2, "LayerNorm", "Dropout")
    write_json(folder / "3_LayerNorm" / "config.json", {"dimension": DIM})
    norm = {"norm.weight": torch.randn(DIM), "norm.bias": torch.randn(DIM)}
    save_file(norm, folder / "3_LayerNorm" / "model.safetensors")
    write_json(folder / "4_Dropout" / "config.json", {"dropout": 0.5})
    return folder


def write_t5_layers(folder: Path) -> Path:
    """Write a T5 with the weighted mean of its layers; the last layer is normalised."""
    weigh_layers(write_t5(folder), 2)
    return folder


def write_albert_layers(folder: Path) -> Path:
    """Write an ALBERT of two layers a group, which runs through the fallback, with the weighted mean of its layers."""
    weigh_layers(write_albert(folder, inner_group_num=2), 6)
    return folder


def write_electra(folder: Path, embedding_size: int = 16) -> Path:
    """Write an ELECTRA: the layout of BERT, with narrower embeddings in the small models."""
    from transformers import ElectraConfig, ElectraModel

    torch.manual_seed(9)
    config = ElectraConfig(
        vocab_size=write_wordpiece(folder, "ElectraTokenizer"),
        embedding_size=embedding_size,
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    ElectraModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    write_pooling(folder, DIM)
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "t5": write_t5,
    "gated-t5": write_gated_t5,
    "distiluse": write_distiluse,
    "clip-multilingual": write_clip_multilingual,
    "labse": write_labse,
    "dpr": write_dpr,
    "multilingual-minilm": write_multilingual_minilm,
    "albert": write_albert,
    "albert-groups": lambda folder: write_albert(folder, num_hidden_groups=2),
    "electra": write_electra,
    "electra-wide": lambda folder: write_electra(folder, DIM),
    "layers": write_layers,
    "t5-layers": write_t5_layers,
    "albert-layers": write_albert_layers,
}

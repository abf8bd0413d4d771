"""Tiny checkpoints with random weights, written in the true on-disk layout of their families."""

import json
import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = (
    "the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot but "
    "some what there we can out other were all your when up use word how said an each she which do their time will "
    "cat dog sat mat rain sun moon river spark table model vector sentence query passage city london people live"
).split()


def write_json(path: Path, content: Any) -> None:
    """Writes one JSON file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def wordpiece_tokenizer(lowercase: bool = True) -> Tokenizer:
    """A WordPiece tokenizer over common words and all printable characters, with [CLS] text [SEP]."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = list(string.ascii_letters + string.digits + string.punctuation + "éüßñçаб中文日本")
    pieces = specials + characters + ["##" + c for c in characters] + [w for w in WORDS if len(w) > 1]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    tokenizer.add_special_tokens(specials)
    return tokenizer


def write_wordpiece(folder: Path, tokenizer_class: str = "BertTokenizer", max_length: int = 512) -> int:
    """Writes a WordPiece tokenizer's files and returns the size of its vocabulary."""
    tokenizer = wordpiece_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("\n".join(piece for piece, _ in vocab) + "\n", encoding="utf-8")
    names = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")}
    settings = {**names, "do_lower_case": True, "tokenizer_class": tokenizer_class, "model_max_length": max_length}
    write_json(folder / "tokenizer_config.json", settings)
    return len(vocab)


def write_modules(folder: Path, *types: tuple[str, str]) -> None:
    """Writes modules.json from (path, class name) in the class paths of sentence-transformers up to version 5."""
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(types)
    ]
    write_json(folder / "modules.json", modules)
    versions = {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}
    write_json(folder / "config_sentence_transformers.json", {"__version__": versions})


def write_pooling(folder: Path, dim: int, mode: str = "mean_tokens", **more: Any) -> None:
    """Writes 1_Pooling/config.json in the old spelling, one mode on."""
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"]
    config = {f"pooling_mode_{name}": name == mode for name in modes}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dim, **config, **more})


def write_bert(folder: Path, *, seed: int = 0, dim: int = 32, max_seq_length: int = 64) -> Path:
    """A BERT of 2 layers, mean pooling and Normalize: the layout of all-MiniLM-L6-v2 in small."""
    from transformers import BertConfig, BertModel

    size = write_wordpiece(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=size,
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * dim,
        max_position_embeddings=512,
    )
    BertModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write_pooling(folder, dim)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    return folder

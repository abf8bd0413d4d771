"""Word models: texts without words, the memory-mapped table, limits, and inputs that they refuse."""

from pathlib import Path

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint.weights import Weights
from tests.support.checkpoints import write_modules
from tests.support.word_checkpoints import DIM, VOCAB, WRITERS, write_bow, write_words


@pytest.mark.parametrize("kind", [name for name in WRITERS if name not in ("router", "asym")])
def test_texts_without_words_have_vectors(kind: str, tmp_path: Path) -> None:
    """Alone, together and among others. The vectors are zeros in models without a maximum and without a bias."""
    model = SentenceTransformer(WRITERS[kind](tmp_path / "model"), device="cpu")
    size = model.get_sentence_embedding_dimension()
    empty = model.embed(["", " ", "unknownunknown"] if kind not in ("static", "model2vec") else ["", " ", "\t"])
    assert empty.vectors.shape == (3, size)
    assert empty.n_tokens.tolist() == [0, 0, 0]
    if kind not in ("cnn", "lstm", "stop-words"):
        assert not empty.vectors.any()
    among = model.encode(["the cat", "", "the cat sat"])
    assert np.array_equal(among[1], empty.vectors[0])
    assert np.abs(among[0]).sum() > 0
    assert model.encode([]).shape == (0, size)


def test_the_table_is_memory_mapped(tmp_path: Path) -> None:
    """Not copied, so that the processes of a machine share it."""
    folder = write_words(tmp_path / "model")
    model = SentenceTransformer(folder, device="cpu")
    table = model.modules[0].table
    assert torch.equal(table, Weights(folder / "0_WordEmbeddings")["emb_layer.weight"])
    assert "pytorch_model.bin" in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert table.shape == (len(VOCAB), DIM)


def test_word_models_ignore_the_dtype(tmp_path: Path) -> None:
    model = SentenceTransformer(write_words(tmp_path / "model"), device="cpu", dtype="bfloat16")
    assert model.dtype == "float32"


@pytest.mark.parametrize("text", [["a", "b"], None, 3, b"cat"])
def test_an_input_that_is_not_a_text_is_rejected_with_its_place(text: object, tmp_path: Path) -> None:
    for model in (write_words(tmp_path / "words"), write_bow(tmp_path / "bow")):
        with pytest.raises(InputError, match=r"input 1 is .*join the two texts of a pair yourself"):
            SentenceTransformer(model, device="cpu").encode(["cat", text])  # type: ignore[list-item]


def test_max_seq_length_can_be_set(tmp_path: Path) -> None:
    model = SentenceTransformer(write_words(tmp_path / "model"), device="cpu")
    assert model.max_seq_length == 1_000_000
    model.max_seq_length = 2
    encoded = model.embed(["the cat sat", "the cat"])
    assert encoded.truncated.tolist() == [True, False]
    assert np.array_equal(encoded.vectors[0], encoded.vectors[1])


def test_modules_that_do_not_fit_together_are_rejected(tmp_path: Path) -> None:
    folder = write_words(tmp_path / "model")
    write_modules(folder, ("1_Pooling", "Pooling"), ("0_WordEmbeddings", "WordEmbeddings"))
    with pytest.raises(ModelError, match="begins with Pooling, which reads no texts"):
        SentenceTransformer(folder, device="cpu")
    write_modules(folder, ("0_WordEmbeddings", "WordEmbeddings"), ("2_Normalize", "Normalize"))
    with pytest.raises(ModelError, match="no pooling before a module that reads sentence embeddings"):
        SentenceTransformer(folder, device="cpu").encode("cat")

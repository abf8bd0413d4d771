"""Word models: which words a text has, texts without any, sums of rows, and inputs that they do not take."""

import string
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs import word_ids, word_tokenizer
from st_spark.model.modules.embedding_bag import mean_rows
from tests.support.word_checkpoints import DIM, VOCAB, WRITERS, write_bow, write_words

VOCABULARY = ["", "cat", "Dog", "it's", "don", "-", "a-b", "straße", "ǆ"]
STOP_WORDS = ["the", "Cat", "x"]
pieces = st.sampled_from([*VOCABULARY, *STOP_WORDS, "CAT", "dog", "THE", "!", "'", "--", "X", "ẞ", "Ǆ", "other"])
words = st.lists(pieces, min_size=1, max_size=3).map("".join)
texts = st.lists(words | st.sampled_from([" ", "\t\n", "\u00a0", "\u2003"]), max_size=8).map(" ".join)


def reference(text: str, lower_case: bool) -> list[int]:
    """sentence-transformers' rule, word by word."""
    ids = []
    for word in (text.lower() if lower_case else text).split():
        stripped = word.strip(string.punctuation)
        for spelling, known in ((word, True), (stripped, stripped != ""), (stripped.lower(), True)):
            if spelling in STOP_WORDS:
                break
            if known and spelling in VOCABULARY:
                ids.append(VOCABULARY.index(spelling))
                break
    return ids


@given(st.lists(texts, max_size=6), st.booleans(), st.none() | st.integers(1, 4))
def test_each_word_is_looked_up_in_its_spellings(batch: list[str], lower_case: bool, limit: int | None) -> None:
    tokenizer = word_tokenizer.whitespace(VOCABULARY, STOP_WORDS, lower_case, limit)
    whole = [reference(text, lower_case) for text in batch]
    for _ in range(2):  # the second time from memory
        tokens = tokenizer(batch)
        assert tokens.ids.tolist() == [i for ids in whole for i in ids[:limit]]
        assert tokens.lengths.tolist() == [len(ids[:limit]) for ids in whole]
        assert tokens.truncated.tolist() == [limit is not None and len(ids) > limit for ids in whole]


def test_words_beyond_what_is_remembered_are_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_ids, "_MOST_REMEMBERED", 1)
    tokenizer = word_tokenizer.whitespace(VOCABULARY, STOP_WORDS)
    assert tokenizer(["other CAT! dog the Dog"]).ids.tolist() == [1, 2]
    assert tokenizer(["unheard-of CAT! dog the Dog", "CAT."]).ids.tolist() == [1, 2, 1]


@given(st.lists(st.integers(0, 300), max_size=12))
def test_the_mean_of_rows_is_that_of_float64(lengths: list[int]) -> None:
    table = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    counts = np.array(lengths, dtype=np.int64)
    ids = torch.randint(0, 50, (int(counts.sum()),), generator=torch.Generator().manual_seed(1))
    means = mean_rows(ids, table, counts)
    assert means.shape == (len(lengths), 7)
    for row, part in zip(means, ids.split(lengths), strict=True):
        expected = table[part].double().sum(0) / max(len(part), 1)
        assert (row - expected).abs().max() < 1e-6


def test_the_mean_of_a_very_long_text_is_exact() -> None:
    """A million rows, which one float32 sum after another would spoil."""
    table = torch.full((2, 3), 0.1)
    means = mean_rows(torch.zeros(1_000_000, dtype=torch.int64), table, np.array([1_000_000]))
    assert (means - 0.1).abs().max() < 1e-7


@pytest.mark.parametrize("kind", [name for name in WRITERS if name not in ("router", "asym")])
def test_texts_without_words_have_vectors_too(kind: str, tmp_path: Path) -> None:
    """Alone, together and among others; zeros where no maximum is taken and no bias is added."""
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


def test_a_table_in_a_file_stays_there(tmp_path: Path) -> None:
    """Mapped, not copied, so that the processes of a machine share it."""
    folder = write_words(tmp_path / "model")
    model = SentenceTransformer(folder, device="cpu")
    table = model.modules[0].table
    assert torch.equal(table, Weights(folder / "0_WordEmbeddings")["emb_layer.weight"])
    assert "pytorch_model.bin" in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert table.shape == (len(VOCAB), DIM)


def test_word_models_compute_in_float32_whatever_is_asked(tmp_path: Path) -> None:
    model = SentenceTransformer(write_words(tmp_path / "model"), device="cpu", dtype="bfloat16")
    assert model.dtype == "float32"


@pytest.mark.parametrize("text", [["a", "b"], None, 3, b"cat"])
def test_what_is_no_text_is_refused_with_its_place(text: object, tmp_path: Path) -> None:
    for model in (write_words(tmp_path / "words"), write_bow(tmp_path / "bow")):
        with pytest.raises(InputError, match=r"input 1 is .*join the two texts of a pair yourself"):
            SentenceTransformer(model, device="cpu").encode(["cat", text])  # type: ignore[list-item]


def test_the_longest_text_can_be_set(tmp_path: Path) -> None:
    model = SentenceTransformer(write_words(tmp_path / "model"), device="cpu")
    assert model.max_seq_length == 1_000_000
    model.max_seq_length = 2
    encoded = model.embed(["the cat sat", "the cat"])
    assert encoded.truncated.tolist() == [True, False]
    assert np.array_equal(encoded.vectors[0], encoded.vectors[1])


def test_a_model_whose_modules_do_not_fit_is_refused(tmp_path: Path) -> None:
    from tests.support.checkpoints import write_modules

    folder = write_words(tmp_path / "model")
    write_modules(folder, ("1_Pooling", "Pooling"), ("0_WordEmbeddings", "WordEmbeddings"))
    with pytest.raises(ModelError, match="begins with Pooling, which reads no texts"):
        SentenceTransformer(folder, device="cpu")
    write_modules(folder, ("0_WordEmbeddings", "WordEmbeddings"), ("2_Normalize", "Normalize"))
    with pytest.raises(ModelError, match="no pooling before what reads sentence embeddings"):
        SentenceTransformer(folder, device="cpu").encode("cat")


@given(st.lists(st.text(st.characters(codec=None), max_size=20), max_size=20))
def test_texts_fall_into_the_words_that_python_splits_them_into(texts: list[str]) -> None:
    """Every character that Unicode has, lone surrogates and separators of ASCII too."""
    words = sorted({word for text in texts for word in text.split()})
    tokens = word_tokenizer.whitespace(words)(texts)
    found = [words[place] for place in tokens.ids]
    whole = [word for text in texts for word in text.split() if not any("\ud800" <= c <= "\udfff" for c in word)]
    assert [word for word in found if not any("\ud800" <= c <= "\udfff" for c in word)] == whole
    assert tokens.lengths.tolist() == [len(text.split()) for text in texts]

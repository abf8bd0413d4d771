"""Word tokenizers: which words a text has, and their ids."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.model.inputs import word_tokenizer
from st_spark.model.inputs.vocabulary import Vocabulary, strip_punctuation

VOCABULARY = ["", "cat", "Dog", "it's", "don", "-", "a-b", "straße", "ǆ"]
STOP_WORDS = ["the", "Cat", "x"]
pieces = st.sampled_from([*VOCABULARY, *STOP_WORDS, "CAT", "dog", "THE", "!", "'", "--", "X", "ẞ", "Ǆ", "other"])
words = st.lists(pieces, min_size=1, max_size=3).map("".join)
texts = st.lists(words | st.sampled_from([" ", "\t\n", "\u00a0", "\u2003"]), max_size=8).map(" ".join)


def reference(text: str, lower_case: bool) -> list[int]:
    """Return the ids by the rule of sentence-transformers, word by word."""
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
def test_words_get_the_ids_of_sentence_transformers_rule(batch: list[str], lower_case: bool, limit: int | None) -> None:
    tokenizer = word_tokenizer.whitespace(VOCABULARY, STOP_WORDS, lower_case, limit)
    whole = [reference(text, lower_case) for text in batch]
    for _ in range(2):  # the second time from memory
        tokens = tokenizer(batch)
        assert tokens.ids.tolist() == [i for ids in whole for i in ids[:limit]]
        assert tokens.lengths.tolist() == [len(ids[:limit]) for ids in whole]
        assert tokens.truncated.tolist() == [limit is not None and len(ids) > limit for ids in whole]


def test_words_are_found_when_the_memory_of_unknown_words_is_full() -> None:
    tokenizer = word_tokenizer.whitespace(VOCABULARY, STOP_WORDS)
    tokenizer.vocabulary = Vocabulary(VOCABULARY, STOP_WORDS, (strip_punctuation, str.lower), max_remembered=1)
    assert tokenizer(["other CAT! dog the Dog"]).ids.tolist() == [1, 2]
    assert tokenizer(["unheard-of CAT! dog the Dog", "CAT."]).ids.tolist() == [1, 2, 1]


@pytest.mark.parametrize("start", ["a", "é"])
@pytest.mark.parametrize("space", [" ", "\x1d", "\u2003"])
def test_a_last_text_that_ends_with_white_space_is_split(start: str, space: str) -> None:
    """Of 64 bytes, which fill Arrow's buffer: what follows in memory is white space or not."""
    text = start + "x" * (64 - len((start + space).encode())) + space
    tokenizer = word_tokenizer.whitespace([text.strip()])
    for number in range(300):
        _others = [bytes([byte]) * number for byte in (0, 32, 128, 255)]
        assert tokenizer([text]).ids.tolist() == [0]


@given(st.lists(st.text(st.characters(codec=None), max_size=20), max_size=20))
def test_texts_are_split_like_str_split(texts: list[str]) -> None:
    """For every Unicode character, with lone surrogates and ASCII separators."""
    words = sorted({word for text in texts for word in text.split()})
    tokens = word_tokenizer.whitespace(words)(texts)
    found = [words[place] for place in tokens.ids]
    whole = [word for text in texts for word in text.split() if not any("\ud800" <= c <= "\udfff" for c in word)]
    assert [word for word in found if not any("\ud800" <= c <= "\udfff" for c in word)] == whole
    assert tokens.lengths.tolist() == [len(text.split()) for text in texts]

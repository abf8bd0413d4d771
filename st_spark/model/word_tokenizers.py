"""Texts to word ids: the tokenizers of word models, which split on white space and look words up.

What a word becomes depends on nothing but the word, so that each one is worked out once and then is one look-up.
"""

import string
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from st_spark.errors import InputError, ModelError
from st_spark.model.phrases import Phrases
from st_spark.model.stored import read_object, shown, wrong
from st_spark.model.tokens import Tokens, flat, load_tokenizer

Words = Callable[[str], list[str]]
Spelling = Callable[[str], str]

_UNKNOWN = -1
# How many words that are not in the vocabulary are remembered; most of those of a corpus come again and again.
_MOST_REMEMBERED = 1_000_000
# Texts whose words are held at a time.
_CHUNK = 4096


_FILES = {
    "WhitespaceTokenizer": "whitespacetokenizer_config.json",
    "PhraseTokenizer": "phrasetokenizer_config.json",
}


class WordTokenizer:
    """Texts to the ids of their known words.

    Args:
        vocab: The words; a word's id is its place.
        stop_words: Words that are dropped.
        spellings: What is tried for a word that is not in the vocabulary, one after the other.
        words: Splits a text.
        max_length: Most words of a text; the rest is cut off. None for no limit.
    """

    def __init__(
        self,
        vocab: Iterable[str],
        stop_words: Iterable[str],
        spellings: Sequence[Spelling],
        words: Words,
        max_length: int | None = None,
    ) -> None:
        self.ids = _Ids(vocab, stop_words, spellings)
        self.words = words
        self.max_length = max_length

    def __call__(self, texts: Sequence[Any]) -> Tokens:
        """Tokenizes texts.

        Raises:
            InputError: Something that is no str, with its place.
        """
        _check(texts)
        parts = [self._chunk(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
        none = np.empty(0, dtype=np.int64)
        ids, lengths = (np.concatenate([none, *(part[side] for part in parts)]) for side in (0, 1))
        return _cut(ids, lengths, self.max_length)

    def _chunk(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        words = [self.words(text) for text in texts]
        counts = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        ids = np.fromiter(map(self.ids.__getitem__, chain.from_iterable(words)), dtype=np.int64, count=counts.sum())
        known = ids != _UNKNOWN
        before = np.concatenate(([0], np.cumsum(known)))
        stops = np.cumsum(counts)
        return ids[known], before[stops] - before[stops - counts]


class Subwords:
    """Texts to the ids of a transformers tokenizer, special tokens included, the tail cut off whatever it is.

    Args:
        folder: The tokenizer's.
        max_length: Most tokens of a text; None for no limit.
    """

    def __init__(self, folder: Path, max_length: int | None) -> None:
        self.backend = load_tokenizer(folder, {}).backend_tokenizer
        self.backend.no_padding()
        self.backend.no_truncation()
        self.max_length = max_length

    def __call__(self, texts: Sequence[Any]) -> Tokens:
        """Tokenizes texts.

        Raises:
            InputError: Something that is no str, with its place.
        """
        _check(texts)
        encodings = self.backend.encode_batch_fast(texts)
        lengths = np.fromiter((len(e) for e in encodings), dtype=np.int64, count=len(encodings))
        return _cut(flat((e.ids for e in encodings), lengths), lengths, self.max_length)


def _check(texts: Sequence[Any]) -> None:
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            problem = f"input {place} is {text!r:.60} ({type(text).__name__}), and this model has no pairs."
            raise InputError(problem, "give a str; join the two texts of a pair yourself.")


def _cut(ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], limit: int | None) -> Tokens:
    truncated = lengths > (np.inf if limit is None else limit)
    if limit is not None and truncated.any():
        starts = np.cumsum(lengths) - lengths
        ids = ids[np.arange(len(ids)) - np.repeat(starts, lengths) < limit]
        lengths = np.minimum(lengths, limit)
    return Tokens(ids, None, lengths, truncated)


class _Ids(dict[str, int]):
    """The ids of the words that have come up: -1 for stop words and unknown ones."""

    def __init__(self, vocab: Iterable[str], stop_words: Iterable[str], spellings: Sequence[Spelling]) -> None:
        self._vocab = {word: place for place, word in enumerate(vocab)}
        self._vocab.update(dict.fromkeys(stop_words, _UNKNOWN))
        self._spellings = spellings

    def __missing__(self, word: str) -> int:
        """Looks the word up as it is, then in each of its spellings; a stop word among them ends the search."""
        found = self._vocab.get(word)
        spelling = word
        for spell in self._spellings if found is None else ():
            spelling = spell(spelling)
            found = self._vocab.get(spelling) if spelling or spell is not _strip_punctuation else None
            if found is not None:
                break
        found = _UNKNOWN if found is None else found
        if len(self) < _MOST_REMEMBERED:
            self[word] = found
        return found


def _strip_punctuation(word: str) -> str:
    return word.strip(string.punctuation)


def whitespace(
    vocab: Iterable[str], stop_words: Iterable[str] = (), lower_case: bool = False, max_length: int | None = None
) -> WordTokenizer:
    """Splits on white space; a word is looked up as it is, then without punctuation around it, then lower-cased."""
    words: Words = (lambda text: text.lower().split()) if lower_case else str.split
    return WordTokenizer(vocab, stop_words, (_strip_punctuation, str.lower), words, max_length)


def load(folder: Path, class_path: object, max_length: int | None) -> WordTokenizer | Subwords:
    """The tokenizer that a WordEmbeddings module names.

    Args:
        folder: The module's.
        class_path: tokenizer_class of its config.
        max_length: Most words of a text.

    Raises:
        ModelError: A class that is not known, or a broken file.
    """
    ours = isinstance(class_path, str) and class_path.startswith("sentence_transformers.")
    name = str(class_path).rpartition(".")[2] if ours else ""
    if name == "TransformersTokenizerWrapper":
        return Subwords(folder, max_length)
    if name not in _FILES:
        problem = f"{folder} has a tokenizer of the class {shown(class_path)}, and no code of a checkpoint is run."
        raise ModelError(problem, f"use a model with one of {', '.join(_FILES)}.")
    file = folder / _FILES[name]
    config = read_object(file)
    vocab, stop_words = (_word_list(file, key, config.get(key, [])) for key in ("vocab", "stop_words"))
    lower_case = bool(config.get("do_lower_case", False))
    if name == "WhitespaceTokenizer":
        return whitespace(vocab, stop_words, lower_case, max_length)
    phrases = Phrases(vocab, config.get("ngram_separator", "_"), config.get("max_ngram_length", 5))
    return WordTokenizer(vocab, stop_words, (str.lower, _strip_punctuation), phrases, max_length)


def _word_list(file: Path, key: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise wrong(file, repr(key), value, "a list of words")
    return value

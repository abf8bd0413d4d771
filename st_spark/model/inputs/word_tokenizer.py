"""Texts to word ids: the tokenizers of word models, which split on white space and look words up.

What a word becomes depends on nothing but the word, so that each one is worked out once and then is one look-up.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from st_spark.errors import InputError, ModelError
from st_spark.model import parallel
from st_spark.model.checkpoint.json_files import read_object, shown, wrong
from st_spark.model.inputs.phrases import Phrases
from st_spark.model.inputs.tokenizer import Tokens, flat, load_tokenizer
from st_spark.model.inputs.word_ids import UNKNOWN, Spelling, WordIds, strip_punctuation
from st_spark.model.inputs.word_table import Hashes, hashes, strings

# The words of texts, one text after another (strings; those that are empty stand for none), and how many of each text.
Words = Callable[[Sequence[str]], tuple[pa.Array, npt.NDArray[np.int64]]]

# Texts whose words are held at a time, about.
_CHUNK = 16384

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
        words: Splits texts.
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
        self.ids = WordIds(vocab, stop_words, spellings)
        self.words = words
        self.max_length = max_length

    def __call__(self, texts: Sequence[Any]) -> Tokens:
        """Tokenizes texts.

        Raises:
            InputError: Something that is no str, with its place.
        """
        _check(texts)
        parts = [self._known(*encoded) for encoded in parallel.run(self._encoded, _chunks(texts), torch.device("cpu"))]
        none = np.empty(0, dtype=np.int64)
        ids, lengths = (np.concatenate([none, *(part[side] for part in parts)]) for side in (0, 1))
        return _cut(ids, lengths, self.max_length)

    def _encoded(self, texts: Sequence[str]) -> tuple[pa.DictionaryArray, Hashes, npt.NDArray[np.int64]]:
        words, counts = self.words(texts)
        encoded = words.dictionary_encode()
        return encoded, hashes(encoded.dictionary), counts

    def _known(
        self, words: pa.DictionaryArray, keys: Hashes, counts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The ids of the known words, and how many of each text."""
        distinct = self.ids(words.dictionary, keys)
        ids = distinct[words.indices.to_numpy()]
        kept = ids != UNKNOWN
        before = np.concatenate(([0], np.cumsum(kept)))
        stops = np.cumsum(counts)
        return ids[kept], before[stops] - before[stops - counts]


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
    if set(map(type, texts)) <= {str}:
        return
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


def _split(texts: Sequence[str]) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """str.split of each text, by Arrow: without a Python object for each word, and without Python's lock."""
    column = strings(texts)
    split = pc.ascii_split_whitespace if _plain(column) else pc.utf8_split_whitespace  # a third of the time
    lists = split(column)
    return lists.values, np.diff(lists.offsets.to_numpy())


def _chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    """Neighbouring texts with about as many characters as other chunks, a chunk at least for each thread."""
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1)
    count = max(torch.get_num_threads(), -(-len(texts) // _CHUNK))
    cuts = np.unique(np.searchsorted(ends, np.arange(count + 1) / count * ends[-1:].sum()))
    return [texts[first:stop] for first, stop in pairwise([0, *cuts[1:-1].tolist(), len(texts)])]


def _plain(strings: pa.Array) -> bool:
    """Whether all is ASCII, without the separators 28 to 31, which only Python takes for white space."""
    characters = np.frombuffer(strings.buffers()[2] or b"", dtype=np.uint8)
    return not bool(((characters > 127) | (characters - np.uint8(28) < 4)).any())


def _each(words: Callable[[str], list[str]]) -> Words:
    """A function of one text as a function of many."""

    def split(texts: Sequence[str]) -> tuple[pa.Array, npt.NDArray[np.int64]]:
        lists = [words(text) for text in texts]
        counts = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        return strings(list(chain.from_iterable(lists))), counts

    return split


def whitespace(
    vocab: Iterable[str], stop_words: Iterable[str] = (), lower_case: bool = False, max_length: int | None = None
) -> WordTokenizer:
    """Splits on white space; a word is looked up as it is, then without punctuation around it, then lower-cased."""
    words: Words = (lambda texts: _split([text.lower() for text in texts])) if lower_case else _split
    return WordTokenizer(vocab, stop_words, (strip_punctuation, str.lower), words, max_length)


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
    return WordTokenizer(vocab, stop_words, (str.lower, strip_punctuation), _each(phrases), max_length)


def _word_list(file: Path, key: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise wrong(file, repr(key), value, "a list of words")
    return value

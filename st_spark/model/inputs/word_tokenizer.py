"""Turn texts into word ids, for models that look words up in a table. Texts are split on white space or by NLTK.

The id of a word depends on the word alone, so each distinct word is looked up once.
"""

import re
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
from st_spark.model.checkpoint.json_files import invalid, read_object, shown
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.tokenizer import Tokens, encode_batch, flat, load_tokenizer, token_starts
from st_spark.model.inputs.vocabulary import UNKNOWN, Hashes, Spelling, Vocabulary, hashes, strings, strip_punctuation

# Texts to an array of all their words, empty strings for none, and the number of words of each text.
Splitter = Callable[[Sequence[str]], tuple[pa.Array, Lengths]]

# About how many texts are split at a time.
_CHUNK = 16384

_FILES = {
    "WhitespaceTokenizer": "whitespacetokenizer_config.json",
    "PhraseTokenizer": "phrasetokenizer_config.json",
}


class WordTokenizer:
    """Turns texts into the ids of their known words.

    Args:
        vocab: The words; a word's id is its position.
        stop_words: Words that are dropped.
        spellings: Functions for a word that is not in the vocabulary, each applied to the result of the one before.
        split: Splits texts into words.
        max_length: Maximum number of words of a text; the rest is cut off. None for no limit.
    """

    def __init__(
        self,
        vocab: Iterable[str],
        stop_words: Iterable[str],
        spellings: Sequence[Spelling],
        split: Splitter,
        max_length: int | None = None,
    ) -> None:
        self.vocabulary = Vocabulary(vocab, stop_words, spellings)
        self.split = split
        self.max_length = max_length

    def __len__(self) -> int:
        """Return how many words have an id."""
        return len(self.vocabulary)

    def __call__(self, texts: Sequence[Any]) -> Tokens:
        """Tokenize texts; InputError, with the position, for an input that is not a str."""
        _check(texts)
        parts = [self._known(*part) for part in parallel.run(self._words, _chunks(texts), torch.device("cpu"))]
        none = np.empty(0, dtype=np.int64)
        ids, lengths = (np.concatenate([none, *(part[side] for part in parts)]) for side in (0, 1))
        return _cut(ids, lengths, self.max_length)

    @staticmethod
    def token_starts(text: str) -> Lengths:
        """Return where the words of a text start, also the words that have no id."""
        return np.fromiter((word.start() for word in re.finditer(r"\S+", text)), dtype=np.int64)

    def _words(self, texts: Sequence[str]) -> tuple[pa.DictionaryArray, Hashes, Lengths]:
        words, counts = self.split(texts)
        encoded = words.dictionary_encode()
        return encoded, hashes(encoded.dictionary), counts

    def _known(self, words: pa.DictionaryArray, keys: Hashes, counts: Lengths) -> tuple[npt.NDArray[np.int64], Lengths]:
        """Return the ids of the known words, and their number in each text."""
        ids = self.vocabulary.ids(words.dictionary, keys)[words.indices.to_numpy()]
        kept = ids != UNKNOWN
        before = np.concatenate(([0], np.cumsum(kept)))
        stops = np.cumsum(counts)
        return ids[kept], before[stops] - before[stops - counts]


class SubwordTokenizer:
    """Turns texts into the ids of a transformers tokenizer. Long texts lose their last tokens, special ones too.

    Args:
        folder: The folder of the tokenizer.
        max_length: Maximum number of tokens of a text; None for no limit.
    """

    def __init__(self, folder: Path, max_length: int | None) -> None:
        self.backend = load_tokenizer(folder, {}).backend_tokenizer
        self.backend.no_padding()
        self.backend.no_truncation()
        self.max_length = max_length

    def __len__(self) -> int:
        """Return how many tokens have an id, without added ones."""
        return int(self.backend.get_vocab_size(with_added_tokens=False))

    def __call__(self, texts: Sequence[Any]) -> Tokens:
        """Tokenize texts; InputError, with the position, for an input that is not a str."""
        _check(texts)
        encodings = encode_batch(self.backend, texts)
        lengths = np.fromiter((len(e) for e in encodings), dtype=np.int64, count=len(encodings))
        return _cut(flat((e.ids for e in encodings), lengths), lengths, self.max_length)

    def token_starts(self, text: str) -> Lengths:
        """Return where the tokens of a text start."""
        return token_starts(self.backend, text)


def _check(texts: Sequence[Any]) -> None:
    if set(map(type, texts)) <= {str}:
        return
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            problem = f"input {place} is {text!r:.60} ({type(text).__name__}), and this model takes no pairs."
            raise InputError(problem, "give a str; join the two texts of a pair yourself.")


def _cut(ids: npt.NDArray[np.int64], lengths: Lengths, limit: int | None) -> Tokens:
    truncated = lengths > (np.inf if limit is None else limit)
    if limit is not None and truncated.any():
        starts = np.cumsum(lengths) - lengths
        ids = ids[np.arange(len(ids)) - np.repeat(starts, lengths) < limit]
        lengths = np.minimum(lengths, limit)
    return Tokens(ids, None, lengths, truncated)


def _chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    """Cut texts into chunks of about equal numbers of characters, at least one for each thread."""
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1)
    count = max(torch.get_num_threads(), -(-len(texts) // _CHUNK))
    cuts = np.unique(np.searchsorted(ends, np.arange(count + 1) / count * ends[-1:].sum()))
    return [texts[first:stop] for first, stop in pairwise([0, *cuts[1:-1].tolist(), len(texts)])]


def _split(texts: Sequence[str]) -> tuple[pa.Array, Lengths]:
    """Split as str.split does, in Arrow: without a Python object for each word, and without Python's lock."""
    # If the last text ends with white space, Arrow reads past it, and may not split it. So another text follows.
    column = strings([*texts, "."])
    split = pc.ascii_split_whitespace if _is_ascii(column) else pc.utf8_split_whitespace  # a third of the time
    lists = split(column)
    offsets = lists.offsets.to_numpy()[:-1]
    return lists.values[: offsets[-1]], np.diff(offsets)


def _is_ascii(strings: pa.Array) -> bool:
    """Return whether all is ASCII without the separators 28 to 31, which only Python treats as white space."""
    characters = np.frombuffer(strings.buffers()[2] or b"", dtype=np.uint8)
    return not bool(((characters > 127) | (characters - np.uint8(28) < 4)).any())


class PhraseSplitter:
    """Splits with NLTK's word_tokenize, then joins words that form a phrase in the vocabulary: "New_York".

    Args:
        vocab: The words and phrases.
        separator: Text between the words of a phrase; None for no phrases.
        longest: Maximum number of words of a phrase.

    Raises:
        ModelError: NLTK is not installed.
    """

    def __init__(self, vocab: Sequence[str], separator: str | None, longest: int) -> None:
        try:
            from nltk import word_tokenize
        except ImportError as error:
            raise ModelError(
                "this model's PhraseTokenizer splits texts with the package nltk, which is not installed.",
                "`pip install nltk` here and on the executors.",
            ) from error
        self._word_tokenize = word_tokenize
        self._separator = separator or ""
        inside = [word for word in vocab if separator and separator in word and separator * 2 not in word]
        self._phrases = {word for word in inside if word.count(self._separator) < longest}
        self._lengths = sorted({word.count(self._separator) + 1 for word in self._phrases}, reverse=True)

    def __call__(self, texts: Sequence[str]) -> tuple[pa.Array, Lengths]:
        """Split texts into words and phrases; see Splitter."""
        lists = [self._words(text) for text in texts]
        counts = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        return strings(list(chain.from_iterable(lists))), counts

    def _words(self, text: str) -> list[str]:
        words: list[str] = self._word_tokenize(text, preserve_line=True)
        for length in self._lengths:  # the longest phrases first
            place = 0
            while place <= len(words) - length:
                phrase = self._separator.join(words[place : place + length])
                known = phrase if phrase in self._phrases else phrase.lower()
                if known in self._phrases:
                    words[place : place + length] = [known]
                place += 1
        return words


def whitespace(
    vocab: Iterable[str], stop_words: Iterable[str] = (), lower_case: bool = False, max_length: int | None = None
) -> WordTokenizer:
    """Return a tokenizer that splits on white space; unknown words lose their punctuation, then are lower-cased."""
    split: Splitter = (lambda texts: _split([text.lower() for text in texts])) if lower_case else _split
    return WordTokenizer(vocab, stop_words, (strip_punctuation, str.lower), split, max_length)


def load(folder: Path, class_path: object, max_length: int | None) -> WordTokenizer | SubwordTokenizer:
    """Return the tokenizer of a WordEmbeddings module.

    Args:
        folder: The module's folder.
        class_path: tokenizer_class in the module's config.
        max_length: Maximum number of words of a text.

    Raises:
        ModelError: An unknown class, or a broken file.
    """
    ours = isinstance(class_path, str) and class_path.startswith("sentence_transformers.")
    name = str(class_path).rpartition(".")[2] if ours else ""
    if name == "TransformersTokenizerWrapper":
        return SubwordTokenizer(folder, max_length)
    if name not in _FILES:
        problem = f"{folder} has a tokenizer of the class {shown(class_path)}, and code of a checkpoint is never run."
        raise ModelError(problem, f"use a model with one of {', '.join(_FILES)}.")
    file = folder / _FILES[name]
    config = read_object(file)
    vocab, stop_words = (_word_list(file, key, config.get(key, [])) for key in ("vocab", "stop_words"))
    if name == "WhitespaceTokenizer":
        return whitespace(vocab, stop_words, bool(config.get("do_lower_case", False)), max_length)
    phrases = PhraseSplitter(vocab, config.get("ngram_separator", "_"), config.get("max_ngram_length", 5))
    return WordTokenizer(vocab, stop_words, (str.lower, strip_punctuation), phrases, max_length)


def _word_list(file: Path, key: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise invalid(file, repr(key), value, "a list of words")
    return value

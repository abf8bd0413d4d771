"""Ids of words in a vocabulary: as they are written, or in another spelling."""

import string
import threading
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from st_spark.model.inputs.word_table import MISSING, Hashes, WordTable, hashes, strings

Spelling = Callable[[str], str]

UNKNOWN = -1
# How many words that are not in the vocabulary are remembered; most of those of a corpus come again and again.
_MOST_REMEMBERED = 1_000_000
_NONE = hashes(strings([""]))


class WordIds:
    """The ids of words: -1 for stop words and unknown ones. What has come up is remembered, up to a number of words."""

    def __init__(self, vocab: Iterable[str], stop_words: Iterable[str], spellings: Sequence[Spelling]) -> None:
        known = {word: place for place, word in enumerate(vocab)} | dict.fromkeys(stop_words, UNKNOWN)
        self._vocab = WordTable(known)
        self._others = WordTable({"": UNKNOWN})
        self._spellings = spellings
        self._remembering = threading.Lock()

    def __call__(self, words: pa.Array, keys: Hashes) -> npt.NDArray[np.int64]:
        """Looks distinct words up as they are, and those that are new in their other spellings."""
        found = self._vocab.find(keys)
        found[keys == _NONE] = UNKNOWN
        missing = np.flatnonzero(found == MISSING)
        with self._remembering:
            found[missing] = self._others.find(keys[missing])
            missing = missing[found[missing] == MISSING]
            found[missing] = self._respelled(words.take(pa.array(missing)).to_pylist())
            if len(self._others) < _MOST_REMEMBERED:
                self._others.add(keys[missing], found[missing])
        return found

    def _respelled(self, words: list[str]) -> npt.NDArray[np.int64]:
        """One spelling after another, each of the one before; a stop word among them ends the search."""
        ids = np.full(len(words), UNKNOWN, dtype=np.int64)
        places = np.arange(len(words))
        for spell in self._spellings:
            words = [spell(word) for word in words]
            keys = hashes(strings(words))
            found = self._vocab.find(keys)
            found[(keys == _NONE) & (spell is strip_punctuation)] = MISSING
            ids[places[found != MISSING]] = found[found != MISSING]
            left = np.flatnonzero(found == MISSING)
            words, places = [words[place] for place in left], places[left]
        return ids


def strip_punctuation(word: str) -> str:
    """A word without ASCII punctuation around it."""
    return word.strip(string.punctuation)

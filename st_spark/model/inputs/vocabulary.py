"""Look up the ids of many words at a time, in a hash table of NumPy arrays.

A dict needs a Python object and several cache misses for each word, one word after another.
"""

import string
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from st_spark.model.inputs.prompts import without_surrogates

Hashes = npt.NDArray[np.uint64]
Spelling = Callable[[str], str]

UNKNOWN = -1  # the id of stop words and of words outside the vocabulary
MISSING = -2  # what a table returns for a word that it does not hold
_EMPTY = np.uint64(0)


def strings(texts: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array."""
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # a str can hold half a surrogate pair, UTF-8 cannot: no word has one
        return pa.array([without_surrogates(text) for text in texts], pa.large_string())


def hashes(words: pa.Array) -> Hashes:
    """Return a 64-bit hash, never 0, for each string of a large_string array.

    Each byte is multiplied by a random number for its position; the sum of the products is mixed. Two words collide
    with a probability of about 2^-57 (multilinear hashing: Lemire and Kaser, "Strongly universal string hashing is
    fast", 2014).
    """
    offsets = np.frombuffer(words.buffers()[1] or bytes(8), dtype=np.int64)
    offsets = offsets[words.offset : words.offset + len(words) + 1]
    data = np.frombuffer(words.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    lengths = np.diff(offsets)
    ends = offsets - offsets[0]
    positions = np.arange(len(data)) - np.repeat(ends[:-1], lengths)
    factors = _mixed(np.arange(1, lengths.max(initial=0) + 1, dtype=np.uint64)) | np.uint64(1)
    products = (data + np.uint64(1)) * factors[positions]
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(products, dtype=np.uint64)))
    return np.maximum(_mixed(sums[ends[1:]] - sums[ends[:-1]]), np.uint64(1))


def _mixed(x: Hashes) -> Hashes:
    """Return the finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class WordTable:
    """A hash table from words to numbers, with open addressing. It grows as it fills.

    Args:
        numbers: A number from -1 for each word.
    """

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._count = 0
        self._keys: Hashes = np.zeros(16, np.uint64)
        self._values = np.zeros(16, np.int32)
        self.add(hashes(strings(list(numbers))), np.fromiter(numbers.values(), np.int32))

    def __len__(self) -> int:
        return self._count

    def find(self, keys: Hashes) -> npt.NDArray[np.int64]:
        """Return the number of each word, MISSING for words that are not in the table."""
        slots = self._slots(keys)
        return np.where(self._keys[slots] == keys, self._values[slots], MISSING).astype(np.int64)

    def add(self, keys: Hashes, values: npt.NDArray[Any]) -> None:
        """Add distinct words that are not in the table yet."""
        self._count += len(keys)
        if self._count * 2 > len(self._keys):
            taken = self._keys != _EMPTY
            keys, values = np.append(self._keys[taken], keys), np.append(self._values[taken], values)
            size = 1 << int(self._count * 4 - 1).bit_length()
            self._keys, self._values = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        while len(keys):
            slots = self._slots(keys)
            self._keys[slots] = keys  # if several words take one slot, the last one stays; the others try again
            placed = self._keys[slots] == keys
            self._values[slots[placed]] = values[placed]
            keys, values = keys[~placed], values[~placed]

    def _slots(self, keys: Hashes) -> npt.NDArray[np.int64]:
        """Return the slot of each word, or the empty slot where it would go."""
        mask = np.int64(len(self._keys) - 1)
        slots = keys.astype(np.int64) & mask
        pending = np.arange(len(keys))
        while len(pending):
            found = self._keys[slots[pending]]
            pending = pending[(found != _EMPTY) & (found != keys[pending])]
            slots[pending] = (slots[pending] + 1) & mask
        return slots


_EMPTY_WORD = hashes(strings([""]))


class Vocabulary:
    """The ids of words: as written, or in another spelling.

    Args:
        words: The words; a word's id is its position.
        stop_words: Words without an id.
        spellings: Functions for a word that is not found as written, each applied to the result of the one before.
        max_remembered: About how many words outside the vocabulary are remembered with their ids. Most such words
            of a corpus appear again and again.
    """

    def __init__(
        self,
        words: Iterable[str],
        stop_words: Iterable[str],
        spellings: Sequence[Spelling],
        max_remembered: int = 1_000_000,
    ) -> None:
        ids = {word: place for place, word in enumerate(words)}
        self._size = max(ids.values(), default=-1) + 1
        ids |= dict.fromkeys(stop_words, UNKNOWN)
        self._table = WordTable(ids)
        self._remembered = WordTable({"": UNKNOWN})
        self._spellings = spellings
        self._max_remembered = max_remembered
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of words."""
        return self._size

    def __deepcopy__(self, _memo: object) -> "Vocabulary":
        """Return the vocabulary itself for a copy of its model: it gives a word the same id for ever."""
        return self

    def ids(self, words: pa.Array, keys: Hashes) -> npt.NDArray[np.int64]:
        """Return the ids of distinct words, given with their hashes; UNKNOWN for stop words and unknown ones."""
        found = self._table.find(keys)
        found[keys == _EMPTY_WORD] = UNKNOWN
        missing = np.flatnonzero(found == MISSING)
        with self._lock:
            found[missing] = self._remembered.find(keys[missing])
            missing = missing[found[missing] == MISSING]
            found[missing] = self._respelled(words.take(pa.array(missing)).to_pylist())
            if len(self._remembered) < self._max_remembered:
                self._remembered.add(keys[missing], found[missing])
        return found

    def _respelled(self, words: list[str]) -> npt.NDArray[np.int64]:
        """Return the ids of words after respelling. A spelling that is a stop word ends the search for its word."""
        ids = np.full(len(words), UNKNOWN, dtype=np.int64)
        places = np.arange(len(words))
        for spell in self._spellings:
            words = [spell(word) for word in words]
            keys = hashes(strings(words))
            found = self._table.find(keys)
            found[(keys == _EMPTY_WORD) & (spell is strip_punctuation)] = MISSING
            ids[places[found != MISSING]] = found[found != MISSING]
            left = np.flatnonzero(found == MISSING)
            words, places = [words[place] for place in left], places[left]
        return ids


def strip_punctuation(word: str) -> str:
    """Return a word without the ASCII punctuation around it."""
    return word.strip(string.punctuation)

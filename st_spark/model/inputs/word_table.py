"""Words to numbers, many words at a time: a hash table in NumPy arrays.

A dict would need a Python object for each word, and three cache misses to find it, one word after another.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

MISSING = -2
_EMPTY = np.uint64(0)
_SURROGATE = re.compile("[\ud800-\udfff]")


def strings(texts: Sequence[str]) -> pa.Array:
    """Texts in Arrow's form."""
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # half of a surrogate pair, which a str can hold and UTF-8 cannot: no word has one
        return pa.array([_SURROGATE.sub("\ufffd", text) for text in texts], pa.large_string())


def hashes(words: pa.Array) -> Hashes:
    """[words] 64 bits for each string of a large_string array; never 0.

    Sums of bytes times a random number for their place, then mixed: words that differ get the same with a chance of
    some 2^-57 (multilinear hashing; Lemire and Kaser, "Strongly universal string hashing is fast", 2014).
    """
    offsets = np.frombuffer(words.buffers()[1] or bytes(8), dtype=np.int64)[
        words.offset : words.offset + len(words) + 1
    ]
    data = np.frombuffer(words.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    lengths = np.diff(offsets)
    places = np.arange(len(data)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    factors = _mixed(np.arange(1, lengths.max(initial=0) + 1, dtype=np.uint64)) | np.uint64(1)
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum((data + np.uint64(1)) * factors[places], dtype=np.uint64)))
    ends = offsets - offsets[0]
    return np.maximum(_mixed(sums[ends[1:]] - sums[ends[:-1]]), np.uint64(1))


class WordTable:
    """Numbers of words by their hashes; grows as it fills.

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
        """[words] the number of each; MISSING for those that are not there."""
        slots = self._slots(keys)
        return np.where(self._keys[slots] == keys, self._values[slots], MISSING).astype(np.int64)

    def add(self, keys: Hashes, values: npt.NDArray[Any]) -> None:
        """Enters distinct words that are not there yet."""
        self._count += len(keys)
        if self._count * 2 > len(self._keys):
            taken = self._keys != _EMPTY
            keys, values = np.append(self._keys[taken], keys), np.append(self._values[taken], values)
            size = 1 << int(self._count * 4 - 1).bit_length()
            self._keys, self._values = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        while len(keys):
            slots = self._slots(keys)
            self._keys[slots] = keys  # of several for one slot the last stays; the others look further
            placed = self._keys[slots] == keys
            self._values[slots[placed]] = values[placed]
            keys, values = keys[~placed], values[~placed]

    def _slots(self, keys: Hashes) -> npt.NDArray[np.int64]:
        """Where each word is, or the empty slot where it would be."""
        mask = np.int64(len(self._keys) - 1)
        slots = keys.astype(np.int64) & mask
        open_ = np.arange(len(keys))
        while len(open_):
            found = self._keys[slots[open_]]
            open_ = open_[(found != _EMPTY) & (found != keys[open_])]
            slots[open_] = (slots[open_] + 1) & mask
        return slots


def _mixed(x: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

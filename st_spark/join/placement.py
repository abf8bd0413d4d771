"""Numbers that Spark's hash partitioning puts where they shall be: before 4.1 it cannot be told the place itself."""

import numpy as np
import numpy.typing as npt

_SEED = 42


def numbers(places: int) -> list[int]:
    """One int for each place, such that repartition(places, that int) puts the row there."""
    found = np.full(places, -1, np.int64)
    start, step = 0, max(1024, 4 * places)
    while (found < 0).any():
        tried = np.arange(start, start + step, dtype=np.int32)
        where, first = np.unique(hashed(tried).astype(np.int64) % places, return_index=True)
        new = found[where] < 0
        found[where[new]] = tried[first[new]]
        start += step
    return [int(number) for number in found]


def hashed(values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Spark's hash of ints: Murmur3 with the seed that partitioning has."""
    key = _turned(values.view(np.uint32) * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
    state = _turned(np.uint32(_SEED) ^ key, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    state ^= np.uint32(4)  # the length in bytes
    state = (state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    state = (state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return (state ^ (state >> np.uint32(16))).view(np.int32)


def _turned(values: npt.NDArray[np.uint32], bits: int) -> npt.NDArray[np.uint32]:
    return (values << np.uint32(bits)) | (values >> np.uint32(32 - bits))

"""Token counts to micro-batches: plain arithmetic, without torch.

A micro-batch is bounded by tokens, not by texts, so that its activations stay in cache on a CPU and fill a GPU.
Texts of equal length stand together: attention then needs neither padding nor a mask.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Texts of one length that stand together in a packed batch.

    Attributes:
        row: Index of the first text in the batch.
        start: Index of its first token in the packed tokens.
        count: How many texts.
        length: Tokens of each of them.
    """

    row: int
    start: int
    count: int
    length: int

    @property
    def stop(self) -> int:
        """Index one behind the last token of the group."""
        return self.start + self.count * self.length


def longest_first(lengths: Lengths) -> Lengths:
    """The order that puts equal lengths together, the longest first, so that memory peaks at once."""
    return np.argsort(-lengths, kind="stable").astype(np.int64)


def micro_batches(lengths: Lengths, max_tokens: int, max_texts: int | None = None) -> Iterator[tuple[int, int]]:
    """Cuts texts, in the given order, into runs of at most max_tokens tokens.

    Args:
        lengths: Tokens of each text.
        max_tokens: Bound on the sum of a run; a text longer than that is a run of its own.
        max_texts: Bound on the texts of a run, or None.

    Yields:
        (first, behind the last) positions of each run; together they cover every text once.
    """
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + max_tokens, side="right")), start + 1)
        if max_texts is not None:
            stop = min(stop, start + max_texts)
        yield start, stop
        start = stop


def equal_groups(lengths: Lengths) -> list[Group]:
    """Runs of equal length in a packed batch, with their places among its texts and tokens."""
    if len(lengths) == 0:
        return []
    rows = np.concatenate(([0], np.flatnonzero(np.diff(lengths)) + 1, [len(lengths)]))
    groups, start = [], 0
    for row, end in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        group = Group(row=row, start=start, count=end - row, length=int(lengths[row]))
        groups.append(group)
        start = group.stop
    return groups

"""Cut texts into micro-batches by their token counts; plain arithmetic, without torch.

A micro-batch has a limit on tokens, not on texts: its activations then stay in cache on a CPU and fill a GPU.
Texts of equal length are neighbours: attention then needs neither padding nor a mask.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Neighbouring texts of equal length in a packed batch.

    Attributes:
        row: Index of the first text in the batch.
        start: Index of its first token in the packed tokens.
        count: How many texts.
        length: Tokens of each text.
    """

    row: int
    start: int
    count: int
    length: int

    @property
    def stop(self) -> int:
        """Return the index after the last token of the group."""
        return self.start + self.count * self.length


def longest_first(lengths: Lengths) -> Lengths:
    """Return the order from longest to shortest. The first micro-batch then shows the peak of memory."""
    return np.argsort(-lengths, kind="stable").astype(np.int64)


def micro_batches(
    lengths: Lengths, max_tokens: int, max_texts: int | None = None, pads: bool = False
) -> Iterator[tuple[int, int]]:
    """Cut texts, in the given order, into micro-batches of at most max_tokens tokens.

    Args:
        lengths: Tokens of each text.
        max_tokens: Maximum number of tokens of a micro-batch; a longer text gets a micro-batch to itself.
        max_texts: Maximum number of texts of a micro-batch, or None.
        pads: Whether all texts of a micro-batch are padded to the length of the first one, which is the longest.

    Yields:
        The start and stop position of each micro-batch; together they cover every text once.
    """
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = ends[start - 1] if start else 0
        if pads:
            stop = start + max(max_tokens // int(lengths[start]), 1)
        else:
            stop = max(int(np.searchsorted(ends, before + max_tokens, side="right")), start + 1)
        stop = min(stop, len(lengths), start + (max_texts or len(lengths)))
        yield start, stop
        start = stop


def equal_groups(lengths: Lengths) -> list[Group]:
    """Return the groups of neighbours with equal lengths in a packed batch."""
    if len(lengths) == 0:
        return []
    rows = np.concatenate(([0], np.flatnonzero(np.diff(lengths)) + 1, [len(lengths)]))
    groups, start = [], 0
    for row, end in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        group = Group(row=row, start=start, count=end - row, length=int(lengths[row]))
        groups.append(group)
        start = group.stop
    return groups

"""Which lists a batch of queries reads, as a few ranges of numbers: files are sorted by list."""

import numpy as np

from st_spark.topk.scores import Places

# Ranges of one condition. Each costs time in every file, and near lists are next to each other anyway.
_MOST = 256


def list_ranges(lists: Places, most: int = _MOST) -> list[tuple[int, int]]:
    """Return at most `most` ranges (first, last) that hold all lists, and as few other lists as possible.

    Args:
        lists: Numbers of lists, sorted, each once.
        most: The most ranges.
    """
    if not len(lists):
        return []
    gaps = np.diff(lists) - 1
    cuts = np.flatnonzero(gaps)
    cuts = np.sort(cuts[np.argsort(-gaps[cuts], kind="stable")[: most - 1]])
    firsts, lasts = lists[np.concatenate(([0], cuts + 1))], lists[np.concatenate((cuts, [len(lists) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))

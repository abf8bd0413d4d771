"""Groups in which every row is within the threshold of one row, the leader: one pass in the order of ids. No Spark."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

Pair = tuple[Any, Any, float | None]  # right id, left id, score


def led(pairs: Iterable[Pair]) -> Iterator[tuple[Any, Any]]:
    """The rows that are no leaders, in the order of ids, each with its leader.

    Each row in turn joins the leader that it is most similar to (of equal ones that of the smallest id), and becomes
    a leader if there is none within the threshold.

    Args:
        pairs: Those within the threshold, left id < right id, in the order of (right id, left id). A copy of a row
            comes without its other pairs: as a pair with the row, the score None. It has the scores of the row, and
            is within the threshold of it.

    Yields:
        The row's id and its leader's.
    """
    # Of each row that is no leader: the most similar leader among those so far, not only those before the row itself.
    nearest: dict[Any, tuple[float, Any]] = {}
    for right, group in groupby(pairs, itemgetter(0)):
        own = [(left, score) for _, left, score in group]
        copied = own[0][0] if own[0][1] is None else None
        if copied is not None:
            yield right, nearest[copied][1] if copied in nearest else copied
            continue
        scored = [(score, left) for left, score in own if score is not None]
        leaders = [pair for pair in scored if pair[1] not in nearest]
        if leaders:
            nearest[right] = max(leaders, key=itemgetter(0))  # of equal scores the first
            yield right, nearest[right][1]
            continue
        for score, left in scored:
            if score > nearest[left][0]:
                nearest[left] = (score, right)

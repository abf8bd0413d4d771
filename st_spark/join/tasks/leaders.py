"""Groups in which every row is within the threshold of one row, the leader: one pass in the order of ids."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

Pair = tuple[Any, Any, float | None]  # right id, left id, score


def assign_leaders(pairs: Iterable[Pair]) -> Iterator[tuple[Any, Any]]:
    """Yield the rows that follow a leader, in the order of ids, each with the id of its leader.

    Each row joins the most similar leader before it; of equal ones the leader with the smallest id. It becomes a leader
    itself if none is within the threshold. The pairs are those within the threshold, left id < right id, sorted by
    right id and left id. A copy of a row has one pair only, with that row and the score None. Its scores are the row's.
    """
    # Each follower's most similar leader so far. A leader that comes after the row counts too, for copies of the row.
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

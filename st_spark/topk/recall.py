"""Recall of an approximate search, and how many lists to probe for a wanted recall."""

from dataclasses import dataclass

import numpy as np

from st_spark.topk.scores import Places


@dataclass(frozen=True)
class Recall:
    """The share of the true pairs that is found, with its 95% interval."""

    value: float
    low: float
    high: float


def recall_of(found: Places, wanted: Places, z: float = 1.96) -> Recall:
    """Estimate the recall from a sample of rows: how many of the true pairs of each row are found, and how many it has.

    The interval is Wilson's, of z standard errors. Pairs of one row are often found or missed together. So the number
    of pairs is lowered to the one that explains the variance between rows.
    """
    total, hits = float(wanted.sum()), float(found.sum())
    if not total:
        return Recall(1.0, 0.0, 1.0)
    p, rows = hits / total, float((wanted > 0).sum())
    variance = float(((found - p * wanted) ** 2).sum()) / total**2
    n = min(max(p * (1 - p) / variance, 1.0), total) if variance else rows
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return Recall(p, (middle - half) / (1 + z * z / n), min((middle + half) / (1 + z * z / n), 1.0))


def choose_nprobe(ranks: Places, row: Places, rows: int, lists: int, recall: float) -> int:
    """Return the fewest lists that give the recall with 95% confidence. A recall of 1 needs all lists.

    A true pair has a left row, and the rank (from 0) of the list with its right row among the lists of that row.
    """
    wanted = np.bincount(row, minlength=rows)
    low, high = 1, lists
    while low < high:
        middle = (low + high) // 2
        enough = recall_of(np.bincount(row[ranks < middle], minlength=rows), wanted, z=1.645).low >= recall
        low, high = (low, middle) if enough else (middle + 1, high)
    return low

"""Top-k search of inverted lists: each left row probes some lists. Exact within the probed lists."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from st_spark.topk.candidates import TopKCollector
from st_spark.topk.pairs import Pairs
from st_spark.topk.quantized import quantize_both
from st_spark.topk.scan import Query, Search, collect
from st_spark.topk.scores import Matrix, Places, lowest_values, rescaled
from st_spark.topk.search import expanded, finished
from st_spark.topk.settings import DEFAULTS, Settings
from st_spark.topk.tiles import Tiles, list_tiles
from st_spark.topk.unique_rows import unique_rows


@dataclass(frozen=True)
class Probes:
    """Which left rows search which lists.

    Attributes:
        row: [probes] left row number.
        list: [probes] the list.
        rank: [probes] 0 for the best list of the row, which raises its threshold for the next ones.
    """

    row: Places
    list: Places
    rank: Places


def search_lists(
    left: Matrix,
    right: Matrix,
    lists: Places,
    probes: Probes,
    k: int,
    score: str,
    *,
    threshold: float | None = None,
    self_index: Places | None = None,
    settings: Settings = DEFAULTS,
) -> Pairs:
    """Find the k best right rows of each left row, among those in the lists that it probes.

    Args:
        left: [n, d] finite vectors, none of length zero for cosine.
        right: [m, d] vectors; of equal scores the first one is better.
        lists: [m] the list of each right row; equal rows have equal lists.
        probes: What to search: each pair of a row and a list once.
        k: How many.
        score: One of "cosine", "dot" and "euclidean".
        threshold: Return only pairs with at least this score.
        self_index: [n] row number in `right` of the same row, or -1: a row is no neighbour of itself.
        settings: See Settings.
    """
    left, right, unit = rescaled(left, right, score)
    lowest = -np.inf if threshold is None else threshold * unit
    if not len(left) or not len(right):
        return Pairs.concat([])
    groups = unique_rows(right)
    wanted = k + (self_index is not None)
    query = Query(left, groups.of(right), wanted, score, lowest_values(lowest, len(left), score), settings)
    pairs = collect([ListScan(query, lists[groups.representatives], probes, wanted)], query)
    return finished(expanded(pairs, None, groups, score, wanted), k, unit, lowest, self_index)


class ListScan:
    """Compares each row with the columns of the lists that it probes: `lists` holds the list of each column."""

    both_ways = True

    def __init__(self, query: Query, lists: Places, probes: Probes, k: int) -> None:
        settings = query.settings
        self.numbers, order = np.arange(len(query.left)), np.argsort(lists, kind="stable")
        count = max(int(lists.max()), int(probes.list.max(initial=0))) + 1
        self._starts = np.searchsorted(lists[order], np.arange(count + 1))
        self._probes, self._shape, sizes = probes, settings.list_tile, np.diff(self._starts)
        few = sizes[probes.list].sum() < settings.float32_below * k * len(query.left)
        dtype = torch.float32 if few else settings.format()
        blocks, orders = (self.numbers, self._starts), (self.numbers, order)
        self.tiles = Tiles(*quantize_both(query.left, query.right, query.score, dtype, blocks, orders))

    def searches(self, topk: TopKCollector) -> Iterator[Search]:
        """Yield the best list of each row, then its 2 next ones, the 4 next ones ...: each raises the thresholds."""
        wave = np.log2(self._probes.rank + 1).astype(np.int64)
        for number in range(int(wave.max(initial=-1)) + 1):
            now = wave == number
            for rows, columns in list_tiles(self._probes.list[now], self._probes.row[now], self._starts, self._shape):
                yield rows, columns, rows
            topk.raise_thresholds()

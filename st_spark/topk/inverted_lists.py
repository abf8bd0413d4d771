"""Top-k search of inverted lists: each left row probes some lists. Exact within the probed lists."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from st_spark.topk.candidates import TopKCollector
from st_spark.topk.centered import center_both
from st_spark.topk.quantized import quantize_both
from st_spark.topk.scan import Query, Search
from st_spark.topk.scores import Places
from st_spark.topk.tiles import Tiles, list_tiles


@dataclass(frozen=True)
class Probes:
    """The inverted lists, and which left rows search them: each pair of a row and a list once."""

    of_right: Places  # [m] the list of each right row; equal rows have equal lists
    row: Places  # [probes] left row number
    list: Places  # [probes] the list
    rank: Places  # [probes] 0 for the best list of the row, which raises its threshold for the next ones


class ListScan:
    """Compares each row with the columns of the lists that it probes: `lists` holds the list of each column."""

    both_ways = True

    def __init__(self, query: Query, lists: Places, probes: Probes) -> None:
        settings = query.settings
        self.numbers, order = np.arange(len(query.left)), np.argsort(lists, kind="stable")
        count = max(int(lists.max()), int(probes.list.max(initial=0))) + 1
        self._starts = np.searchsorted(lists[order], np.arange(count + 1))
        self._probes, self._shape = probes, settings.list_tile
        blocks, orders = (self.numbers, self._starts), (self.numbers, order)
        sides = center_both(query.left, query.right, query.score)
        self.tiles = Tiles(*quantize_both(*sides, settings.format(), blocks, orders))

    def searches(self, topk: TopKCollector) -> Iterator[Search]:
        """Yield the best list of each row, then its 2 next ones, the 4 next ones ...: each raises the thresholds."""
        wave = np.log2(self._probes.rank + 1).astype(np.int64)
        for number in range(int(wave.max(initial=-1)) + 1):
            now = wave == number
            for rows, columns in list_tiles(self._probes.list[now], self._probes.row[now], self._starts, self._shape):
                yield rows, columns, rows
            topk.raise_thresholds()

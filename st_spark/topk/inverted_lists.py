"""Top-k search of inverted lists: each left row probes some lists. Exact within the probed lists."""

from dataclasses import dataclass

import numpy as np
import torch

from st_spark.topk.candidates import RowMapping, TopKCollector
from st_spark.topk.pairs import Pairs
from st_spark.topk.quantized import quantize_both
from st_spark.topk.scores import Matrix, Places, Rescorer, Scores, minus_rounding, rescaled, to_scores, to_values
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
    lowest = np.full(len(left), -np.inf if threshold is None else threshold * unit)
    groups = unique_rows(right)
    wanted = k + (self_index is not None)
    thresholds = to_values(minus_rounding(lowest), score)
    pairs = _best(left, groups.of(right), lists[groups.representatives], probes, wanted, score, thresholds, settings)
    which, columns = groups.expand(pairs.right, wanted)
    pairs = Pairs(pairs.left[which], columns, to_scores(pairs.score[which], score))
    good = pairs.score >= lowest[pairs.left]
    if self_index is not None:
        good &= pairs.right != self_index[pairs.left]
    pairs = pairs.take(np.flatnonzero(good)).sorted().first(k)
    return Pairs(pairs.left, pairs.right, pairs.score / unit)


def _best(
    left: Matrix,
    right: Matrix,
    lists: Places,
    probes: Probes,
    k: int,
    score: str,
    thresholds: Scores,
    settings: Settings,
) -> Pairs:
    """Find the k best of different right rows, and all that tie with the last one; unsorted, with values."""
    if not len(left) or not len(right):
        return Pairs.concat([])
    each, order = np.arange(len(left)), np.argsort(lists, kind="stable")
    count = max(int(lists.max()), int(probes.list.max(initial=0))) + 1
    starts = np.searchsorted(lists[order], np.arange(count + 1))
    per_row = np.diff(starts)[probes.list].sum() / len(left)
    dtype = torch.float32 if per_row < settings.float32_below * k else settings.format()
    blocks = each, np.unique(starts[:-1][np.diff(starts) > 0])
    tiles = Tiles(*quantize_both(left, right, score, dtype, blocks, (each, order)))
    mapping = RowMapping(Rescorer(left, right, score), each, order)
    topk = TopKCollector(k, thresholds, mapping, settings.max_held)
    wave = np.log2(probes.rank + 1).astype(np.int64)  # of 1, 2, 4, ... lists; each raises the thresholds of the next
    for number in range(int(wave.max(initial=-1)) + 1):
        now = wave == number
        for rows, columns in list_tiles(probes.list[now], probes.row[now], starts, settings.list_tile):
            tiles.collect(rows, columns, topk, rows, None)
        topk.raise_thresholds()
    return topk.result()

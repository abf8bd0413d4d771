"""Search by cluster: a row's own cluster raises its threshold, and most other clusters cannot reach it."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from st_spark.topk.candidates import TopKCollector
from st_spark.topk.clusters import CHUNK, Clusters, inverse_norms
from st_spark.topk.kmeans import spread_centroids
from st_spark.topk.quantized import quantize
from st_spark.topk.scan import Query, Search, row_topk
from st_spark.topk.scores import chunks, row_norms, scaled_rows, unit_factors
from st_spark.topk.settings import device
from st_spark.topk.tiles import Tiles, list_tiles

# Columns for each wanted neighbour that raise a row's threshold at first.
_FIRST_COLUMNS = 6
# Clusters that are searched by one tile at first.
_TOGETHER = 4
# Int8 products are this much faster, so clusters pay later.
_INT8_SPEED = 4
# Rows and columns of the sample that estimates the cost.
_SAMPLED_ROWS, _SAMPLED_COLUMNS = 256, 16384
# Clusters for each group of columns that the sample shows, and, times the root of the columns, the fewest and the most.
_PER_GROUP, _FEWEST, _MOST = 1.1, 4, 9
# Columns that this share of the rows may reach are searched by a full scan.
_DENSE = 0.1
# There are tables of all pairs of clusters.
_MAX_CLUSTERS = 4096
# Columns belong to one group if they have this share of the wanted score. The columns of a cluster reach along another
# centroid by at most this many standard deviations of the products of unrelated pairs.
_SAME_GROUP, _REACH = 0.8, 2.5


def find_clusters(query: Query) -> Clusters | None:
    """Cluster the columns, or return None where the full scan takes less time.

    A sample decides before anything expensive: vectors without clusters cost almost nothing here.
    """
    right, settings, dtype = query.right, query.settings, query.settings.format()
    min_pairs = settings.min_pairs
    if min_pairs is None:
        min_pairs = (1 << 28) * (_INT8_SPEED if dtype == torch.int8 else 1)
    few = len(query.left) * len(right) < min_pairs or len(right) < settings.min_columns * (query.k or 0)
    # The bound is for products alone. A GPU multiplies all pairs in less time than many small tiles.
    if few or query.score == "euclidean" or device().type == "cuda":
        return None
    some = np.random.default_rng(2).permutation(len(query.left))[:_SAMPLED_ROWS]
    sample = replace(query, left=query.left[some], thresholds=query.thresholds[some], both=False)
    share, groups = estimated_share(sample)
    if share > settings.max_estimate:
        return None
    root = math.sqrt(len(right))
    count = round(min(max(_PER_GROUP * groups, _FEWEST * root), _MOST * root, _MAX_CLUSTERS))
    clusters = Clusters(right, query.score, spread_centroids(right, inverse_norms(right), count), dtype)
    return clusters if ClusterScan(clusters, sample, slice(0, len(some))).share(sample) <= settings.max_share else None


def estimated_share(query: Query) -> tuple[float, float]:
    """Estimate from sampled rows which share of the pairs clusters would leave, and how many groups the columns form.

    The rows of a group have a cosine of w with each other, so each has about the root of w with their centroid. The
    two-direction bound is then x y + |x e| |y e| + 1 - w, with other columns in place of the centroids.
    """
    left, right, score, wanted = query.left, query.right, query.score, query.thresholds
    some = np.random.default_rng(3).permutation(len(right))[:_SAMPLED_COLUMNS]
    longest = 1.0 if score == "cosine" else float(row_norms(right).max())
    norms = np.maximum(row_norms(left), np.finfo(np.float32).tiny)
    products = scaled_rows(left, 1 / norms) @ scaled_rows(right, unit_factors(right, score) / longest, some).T
    wanted = wanted if score == "cosine" else wanted / (norms * longest)
    if query.k is not None:
        rank = min(max(round(query.k * len(some) / len(right)), 1), len(some))
        wanted = np.maximum(wanted, np.partition(products, -rank, axis=1)[:, -rank])
    v = np.clip(wanted, 1e-6, 1.0)
    near = products >= (_SAME_GROUP * v)[:, None]
    # A threshold may leave a row with nothing near: then groups may be as close as the threshold.
    w = np.where(near, products, 0.0).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    w = np.clip(np.where(near.any(axis=1), w, v), 1e-6, 1.0)[:, None]
    reach = _REACH * np.sqrt(np.var(products[~near]) / w) if not near.all() else 0.0
    upper = products + np.sqrt(np.maximum(w - products**2 / w, 0.0)) * reach + 1 - w
    return float((upper >= wanted[:, None]).mean()), 1 / max(float(near.mean()), 1 / len(right))


class ClusterScan:
    """Compares some rows with the columns of the clusters that they can reach.

    A cluster is searched for a row if a column may reach the threshold of the row, or the row the one of a column.

    Columns that many rows may reach are left out where the best rows of columns are wanted, too: their thresholds
    become infinity.
    """

    both_ways = True

    def __init__(self, clusters: Clusters, query: Query, part: slice) -> None:
        rows = query.left[part]
        quantized = quantize(rows, unit_factors(rows, query.score), clusters.dtype)
        own = clusters.assigned(quantized)
        order = np.argsort(own, kind="stable")
        self.numbers, self.rows, self._own = part.start + order, quantized.take(order), own[order]
        self.tiles = Tiles(self.rows, clusters.columns, row_numbers=self.numbers if query.both else None)
        self._clusters, self._k, self._shape = clusters, query.k, query.settings.list_tile
        self._column_wanted = torch.full((len(clusters),), torch.inf)
        # The clusters around a row's own one that are searched first: [clusters] from the first one to the last.
        self._first = self._last = np.zeros(len(clusters), np.int64)

    def searches(self, topk: TopKCollector, column_topk: TopKCollector | None) -> Iterator[Search]:
        """Yield each row's own cluster, which raises its threshold, then all other clusters that it can reach."""
        if self._k is not None:
            yield from self._own_clusters(_FIRST_COLUMNS * self._k)
            topk.raise_thresholds()
        if column_topk is not None:
            self._leave_out_dense(column_topk)
        rows, clusters = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for part in chunks(len(self.rows), CHUNK):
            row, cluster = np.divmod(np.flatnonzero(self._can_reach(part, topk)), len(self._clusters))
            rows.append(row + part.start)
            clusters.append(cluster)
        starts = self._clusters.starts
        for places, columns in list_tiles(np.concatenate(clusters), np.concatenate(rows), starts, self._shape):
            yield places, columns, places

    def share(self, query: Query) -> float:
        """Return the share of the pairs that is searched after each row's own cluster."""
        topk = row_topk(self, query)
        if self._k is not None:
            for rows, columns, places in self._own_clusters(_FIRST_COLUMNS * self._k):
                self.tiles.collect(rows, columns, topk, places, None)
            topk.raise_thresholds()
        sizes = np.diff(self._clusters.starts)
        searched = sum(int(self._can_reach(part, topk).sum(axis=0) @ sizes) for part in chunks(len(self.rows), CHUNK))
        return searched / max(len(self.rows) * int(sizes.sum()), 1)

    def _own_clusters(self, count: int) -> Iterator[Search]:
        """Yield at least `count` columns in and around each row's own cluster."""
        starts = self._clusters.starts
        more = np.maximum(count - np.diff(starts) + 1, 0) // 2
        self._first = np.maximum(np.searchsorted(starts, starts[:-1] - more, side="right") - 1, 0)
        self._last = np.minimum(np.searchsorted(starts, starts[1:] + more, side="left"), len(starts) - 1)
        # Neighbouring clusters share a tile, because small tiles are slow.
        together = np.arange(len(self._clusters)) // _TOGETHER * _TOGETHER
        self._first = self._first[together]
        self._last = self._last[np.minimum(together + _TOGETHER, len(self._clusters)) - 1]
        for cluster in np.unique(together[self._own]).tolist():
            columns = slice(int(starts[self._first[cluster]]), int(starts[self._last[cluster]]))
            first, stop = np.searchsorted(self._own, [cluster, cluster + _TOGETHER]).tolist()
            for part in chunks(stop - first, CHUNK):
                rows = slice(first + part.start, first + part.stop)
                yield rows, columns, np.arange(rows.start, rows.stop)

    def _leave_out_dense(self, topk: TopKCollector) -> None:
        """Leave out the columns that many rows may reach, and find what the others of each cluster want at least."""
        topk.raise_thresholds()
        own = np.repeat(np.arange(len(self._clusters)), np.diff(self._clusters.starts))
        wanted = self._clusters.wanted(topk.thresholds, self.rows.norms.max(), self.rows.error_bound.max())
        some = np.random.default_rng(6).permutation(len(self.rows))[:CHUNK]
        upper = self._clusters.upper(self.rows, some, self._own[some]).numpy()
        rank = int(len(some) * (1 - _DENSE))
        dense = wanted.numpy() <= np.partition(upper, rank, axis=0)[rank][own]
        topk.thresholds[dense] = np.inf
        wanted[torch.from_numpy(dense)] = torch.inf
        self._column_wanted.scatter_reduce_(0, torch.from_numpy(own), wanted, "amin")

    def _can_reach(self, part: slice, topk: TopKCollector) -> np.ndarray:
        own = self._own[part]
        wanted = self._clusters.wanted(topk.thresholds[part], self.rows.norms[part], self.rows.error_bound[part])
        wanted = torch.minimum(wanted[:, None], self._column_wanted)
        reached = (self._clusters.upper(self.rows, part, own) >= wanted).numpy()
        each = np.arange(len(self._clusters))
        reached &= (each < self._first[own][:, None]) | (each >= self._last[own][:, None])
        return reached

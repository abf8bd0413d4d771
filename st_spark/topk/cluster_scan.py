"""Search by cluster: the clusters around a row raise its threshold, and most other clusters cannot reach it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from st_spark.topk.candidates import TopKCollector
from st_spark.topk.clusters import CHUNK, Clusters
from st_spark.topk.kmeans import spread_centroids
from st_spark.topk.quantized import quantize
from st_spark.topk.scan import Query, Search, row_topk
from st_spark.topk.scores import chunks, unit_factors
from st_spark.topk.settings import device
from st_spark.topk.tiles import Tiles, list_tiles

# Columns for each wanted neighbour that raise a row's threshold at first.
_FIRST_COLUMNS = 6
# Int8 products are this much faster, so clusters pay later.
_INT8_SPEED = 4
# Rows and columns of the sample that shows which share of the pairs is left.
_SAMPLED_ROWS, _SAMPLED_COLUMNS = 256, 4096
# Clusters, times the root of the columns, and the most: there are tables of all pairs of clusters.
_PER_ROOT, _MAX_CLUSTERS = 4, 4096


def find_clusters(query: Query) -> Clusters | None:
    """Cluster the columns, or return None where the full scan takes less time.

    A sample decides before anything expensive: vectors without clusters cost little here.
    """
    right, settings, dtype = query.right, query.settings, query.settings.format()
    min_pairs = settings.min_pairs
    if min_pairs is None:
        min_pairs = (1 << 28) * (_INT8_SPEED if dtype == torch.int8 else 1)
    few = len(query.left) * len(right) < min_pairs or len(right) < settings.min_columns * (query.k or 0)
    # The bound is for products alone. A GPU multiplies all pairs in less time than many small tiles.
    if few or query.score == "euclidean" or device().type == "cuda":
        return None
    centroids = spread_centroids(right, min(round(_PER_ROOT * len(right) ** 0.5), _MAX_CLUSTERS))
    if sampled_share(query, centroids) > settings.max_share:
        return None
    return Clusters(right, query.score, centroids, dtype)


def sampled_share(query: Query, centroids: torch.Tensor) -> float:
    """Return the share of the pairs of some rows and some columns that clusters leave."""
    random = np.random.default_rng(2)
    left, right = query.left, query.right
    rows, columns = random.permutation(len(left))[:_SAMPLED_ROWS], random.permutation(len(right))[:_SAMPLED_COLUMNS]
    k = query.k and max(round(query.k * len(columns) / len(right)), 1)
    few = replace(query, left=left[rows], right=right[columns], k=k, thresholds=query.thresholds[rows])
    clusters = Clusters(few.right, query.score, centroids, query.settings.format())
    scan = ClusterScan(clusters, few, slice(0, len(rows)))
    topk = row_topk(scan, few)
    for some, part, places in scan.first_searches():
        scan.tiles.collect(some, part, topk, places, None)
    topk.raise_thresholds()
    sizes = np.diff(clusters.starts)
    return float(scan.can_reach(slice(0, len(rows)), topk).sum(axis=0) @ sizes) / (len(rows) * len(columns))


class ClusterScan:
    """Compares some rows with the columns of the clusters that they can reach."""

    both_ways = True

    def __init__(self, clusters: Clusters, query: Query, part: slice) -> None:
        rows = query.left[part]
        self.numbers = np.arange(part.start, part.start + len(rows))
        self.rows = quantize(rows, unit_factors(rows, query.score), clusters.dtype)
        self.tiles = Tiles(self.rows, clusters.columns)
        self._clusters, self._shape, self._wanted = clusters, query.settings.list_tile, _FIRST_COLUMNS * (query.k or 0)
        count = -(-self._wanted * len(clusters) // max(len(query.right), 1))
        # The clusters that are searched first: [rows, count], the nearest one first.
        self._nearest = clusters.nearest(self.rows, min(max(count, 1), len(clusters)))

    def searches(self, topk: TopKCollector) -> Iterator[Search]:
        """Yield the clusters around each row, which raise its threshold, then all others that it can reach."""
        yield from self.first_searches()
        topk.raise_thresholds()
        parts = [self.can_reach(part, topk) for part in chunks(len(self.rows), CHUNK)]
        rows, clusters = np.divmod(np.concatenate([np.flatnonzero(part) for part in parts]), len(self._clusters))
        yield from self._search(rows, clusters)

    def first_searches(self) -> Iterator[Search]:
        """Yield the clusters around each row."""
        yield from self._search(
            np.repeat(self.numbers - self.numbers[0], self._nearest.shape[1]), self._nearest.ravel()
        )

    def can_reach(self, part: slice, topk: TopKCollector) -> np.ndarray:
        """Return whether some rows can reach each cluster that is not around them, [part, clusters]."""
        own, rows = self._nearest[part], self.rows
        wanted = self._clusters.wanted(topk.thresholds[part], rows.norms[part], rows.error_bound[part])
        reached = (self._clusters.upper(rows, part, own[:, 0]) >= wanted[:, None]).numpy()
        reached[np.arange(len(own))[:, None], own] = False
        return reached

    def _search(self, rows: np.ndarray, clusters: np.ndarray) -> Iterator[Search]:
        for places, columns in list_tiles(clusters, rows, self._clusters.starts, self._shape):
            yield places, columns, places

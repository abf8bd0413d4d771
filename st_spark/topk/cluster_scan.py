"""Search by cluster: a row's own cluster raises its threshold, and most other clusters cannot reach it."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from st_spark.topk import full_scan
from st_spark.topk.candidates import RowMapping, TopKCollector
from st_spark.topk.clusters import CHUNK, Clusters, inverse_norms
from st_spark.topk.kmeans import spread_centroids
from st_spark.topk.pairs import Pairs
from st_spark.topk.quantized import quantize
from st_spark.topk.scores import Matrix, Places, Rescorer, Scores, chunks, row_norms, scaled_rows, unit_factors
from st_spark.topk.settings import Settings, device
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


def find_clusters(
    left: Matrix, right: Matrix, k: int | None, score: str, thresholds: Scores, settings: Settings
) -> Clusters | None:
    """Cluster the columns, or return None where the full scan takes less time.

    A sample decides before anything expensive: vectors without clusters cost almost nothing here.

    Args:
        left: [n, d] rows.
        right: [m, d] columns.
        k: How many columns are wanted of each row, or None for all that reach the threshold.
        score: One of "cosine", "dot" and "euclidean".
        thresholds: [n] lowest value that is wanted of a row.
        settings: See Settings.
    """
    dtype = settings.format()
    min_pairs = settings.min_pairs
    if min_pairs is None:
        min_pairs = (1 << 28) * (_INT8_SPEED if dtype == torch.int8 else 1)
    few = len(left) * len(right) < min_pairs or len(right) < settings.min_columns * (k or 0)
    # The bound is for products alone. A GPU multiplies all pairs in less time than many small tiles.
    if few or score == "euclidean" or device().type == "cuda":
        return None
    some = np.random.default_rng(2).permutation(len(left))[:_SAMPLED_ROWS]
    rows, wanted = left[some], thresholds[some]
    share, groups = estimated_share(rows, right, k, score, wanted)
    if share > settings.max_estimate:
        return None
    root = math.sqrt(len(right))
    count = round(min(max(_PER_GROUP * groups, _FEWEST * root), _MOST * root, _MAX_CLUSTERS))
    centroids = spread_centroids(right, inverse_norms(right), count)
    clusters = Clusters(right, score, centroids, dtype)
    scan = ClusterScan(clusters, Rescorer(rows, right, score), slice(0, len(rows)), k, wanted, settings)
    return clusters if scan.share() <= settings.max_share else None


def estimated_share(left: Matrix, right: Matrix, k: int | None, score: str, wanted: Scores) -> tuple[float, float]:
    """Estimate from a sample which share of the pairs clusters would leave, and how many groups the columns form.

    The rows of a group have a cosine of w with each other, so each has about the root of w with their centroid. The
    two-direction bound is then x y + |x e| |y e| + 1 - w, with other columns in place of the centroids.
    """
    some = np.random.default_rng(3).permutation(len(right))[:_SAMPLED_COLUMNS]
    longest = 1.0 if score == "cosine" else float(row_norms(right).max())
    norms = np.maximum(row_norms(left), np.finfo(np.float32).tiny)
    products = scaled_rows(left, 1 / norms) @ scaled_rows(right, unit_factors(right, score) / longest, some).T
    wanted = wanted if score == "cosine" else wanted / (norms * longest)
    if k is not None:
        rank = min(max(round(k * len(some) / len(right)), 1), len(some))
        wanted = np.maximum(wanted, np.partition(products, -rank, axis=1)[:, -rank])
    v = np.clip(wanted, 1e-6, 1.0)
    near = products >= (_SAME_GROUP * v)[:, None]
    # A threshold may leave a row with nothing near: then groups may be as close as the threshold.
    w = np.where(near, products, 0.0).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    w = np.clip(np.where(near.any(axis=1), w, v), 1e-6, 1.0)[:, None]
    reach = _REACH * np.sqrt(np.var(products[~near]) / w) if not near.all() else 0.0
    upper = products + np.sqrt(np.maximum(w - products**2 / w, 0.0)) * reach + 1 - w
    return float((upper >= wanted[:, None]).mean()), 1 / max(float(near.mean()), 1 / len(right))


def top_k(
    clusters: Clusters, left: Matrix, k: int, thresholds: Scores, settings: Settings, *, both: bool = False
) -> tuple[Pairs, Pairs]:
    """Find the k best columns of each row and all that tie with the last one; if asked, also the best rows of columns.

    The arguments and the result mean the same as in full_scan.top_k().
    """
    right, score = clusters.columns.source, clusters.score
    rescore, column_topk = Rescorer(left, right, score), None
    if both:
        mapping = RowMapping(rescore, clusters.columns.order, np.arange(len(left)), swapped=True)
        column_topk = TopKCollector(k, np.full(len(right), -np.inf), mapping, settings.max_held)
    forward = Pairs.concat(
        [
            ClusterScan(clusters, rescore, part, k, thresholds[part], settings, column_topk).top_k()
            for part in chunks(len(left), settings.cluster_rows)
        ]
    )
    if column_topk is None:
        return forward, Pairs.concat([])
    dense = clusters.columns.order[np.isposinf(column_topk.thresholds)]
    backward = [column_topk.result()]
    if len(dense):
        pairs, _ = full_scan.top_k(right[dense], left, k, score, np.full(len(dense), -np.inf), settings)
        backward.append(Pairs(dense[pairs.left], pairs.right, pairs.score))
    return forward, Pairs.concat(backward)


def above(
    clusters: Clusters, left: Matrix, threshold: float, settings: Settings, *, self_join: bool
) -> Iterator[Pairs]:
    """Find all pairs whose value may reach a threshold, some rows at a time, with exact values."""
    rescore = Rescorer(left, clusters.columns.source, clusters.score)
    for part in chunks(len(left), max(settings.cluster_rows // 8, 1)):
        thresholds = np.full(part.stop - part.start, threshold)
        yield ClusterScan(clusters, rescore, part, None, thresholds, settings).above(threshold, self_join=self_join)


class ClusterScan:
    """Searches the clusters for some rows, and these rows for the columns.

    A cluster is searched for a row if a column may reach the threshold of the row, or the row the one of a column.

    Args:
        clusters: The columns.
        rescore: Computes exact values of the rows and the columns.
        part: Which rows.
        k: How many columns are wanted of each row, or None for all that reach the threshold.
        thresholds: [part] lowest product that is wanted of a row.
        settings: See Settings.
        column_topk: Collects the best rows of all columns, or None. Columns that many rows may reach are left out:
            their thresholds become infinity.
    """

    def __init__(
        self,
        clusters: Clusters,
        rescore: Rescorer,
        part: slice,
        k: int | None,
        thresholds: Scores,
        settings: Settings,
        column_topk: TopKCollector | None = None,
    ) -> None:
        left = rescore.left[part]
        quantized = quantize(left, unit_factors(left, clusters.score), clusters.dtype)
        own = clusters.assigned(quantized)
        order = np.argsort(own, kind="stable")
        self.rows, self._own = quantized.take(order), own[order]
        self._clusters, self._settings, self._column_topk = clusters, settings, column_topk
        numbers = part.start + order
        self._tiles = Tiles(self.rows, clusters.columns, row_numbers=None if column_topk is None else numbers)
        mapping = RowMapping(rescore, numbers, clusters.columns.order)
        self._topk = TopKCollector(k or 1, thresholds[order], mapping, settings.max_held)
        self._column_wanted = torch.full((len(clusters),), torch.inf)
        # The clusters around a row's own one that are searched first: [clusters] from the first one to the last.
        self._first = self._last = np.zeros(len(clusters), np.int64)
        if k is not None:
            self._search_own(_FIRST_COLUMNS * k)
        if column_topk is not None:
            self._leave_out_dense(column_topk)

    def share(self) -> float:
        """Return the share of the pairs that is searched after each row's own cluster."""
        sizes = np.diff(self._clusters.starts)
        searched = sum(int(self._can_reach(part).sum(axis=0) @ sizes) for part in chunks(len(self.rows), CHUNK))
        return searched / max(len(self.rows) * int(sizes.sum()), 1)

    def top_k(self) -> Pairs:
        """Find the k best columns of each row and all that tie with the last one; unsorted, with exact values."""
        for rows, columns in self._searches():
            self._tiles.collect(rows, columns, self._topk, rows, self._column_topk)
        return self._topk.result()

    def above(self, threshold: float, *, self_join: bool) -> Pairs:
        """Find all pairs whose value may reach a threshold, with exact values; in a self join (a, b) or (b, a)."""
        mapping, parts = self._topk.mapping, [(np.empty(0, np.int64),) * 2]
        for rows, columns in self._searches():
            found = self._tiles.reaching(rows, columns, threshold)
            i, j = mapping.rows[rows[found.rows]], mapping.columns[columns][found.columns]
            once = np.flatnonzero(i <= j) if self_join else slice(None)
            parts.append((i[once], j[once]))
        i, j = (np.concatenate(side) for side in zip(*parts, strict=True))
        return Pairs(i, j, mapping.rescore(i, j))

    def _search_own(self, count: int) -> None:
        """Raise the thresholds by at least `count` columns in and around each row's own cluster."""
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
                self._tiles.collect(rows, columns, self._topk, np.arange(rows.start, rows.stop), self._column_topk)
        self._topk.raise_thresholds()

    def _searches(self) -> Iterator[tuple[Places, slice]]:
        """Return tiles of all clusters that can reach the threshold of a row, and were not searched first."""
        rows, clusters = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for part in chunks(len(self.rows), CHUNK):
            row, cluster = np.divmod(np.flatnonzero(self._can_reach(part)), len(self._clusters))
            rows.append(row + part.start)
            clusters.append(cluster)
        shape = self._settings.list_tile
        yield from list_tiles(np.concatenate(clusters), np.concatenate(rows), self._clusters.starts, shape)

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

    def _can_reach(self, part: slice) -> np.ndarray:
        own = self._own[part]
        wanted = self._clusters.wanted(self._topk.thresholds[part], self.rows.norms[part], self.rows.error_bound[part])
        wanted = torch.minimum(wanted[:, None], self._column_wanted)
        reached = (self._clusters.upper(self.rows, part, own) >= wanted).numpy()
        each = np.arange(len(self._clusters))
        reached &= (each < self._first[own][:, None]) | (each >= self._last[own][:, None])
        return reached

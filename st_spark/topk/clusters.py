"""Cluster pruning: clusters that cannot contain a match are skipped. The result stays exact.

Let a be the centroid of a row's own cluster and b the centroid of another cluster. The two-direction bound splits a
row x and a column y of that cluster, both of length 1, into three parts: along b; along e, the direction of a at right
angles to b; and the residual outside both. By Cauchy-Schwarz
    x y <= (x b) (y b) + |x e| |y e| + r(x) r(y)
where r is the residual norm. Most of a row's length lies along a, so little is left for another cluster. With b alone,
which is the triangle inequality of angles, far fewer clusters can be skipped.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.candidates import TopKCollector
from st_spark.topk.centered import CenteredRows
from st_spark.topk.kmeans import spread_centroids
from st_spark.topk.quantized import QuantizedMatrix, quantize
from st_spark.topk.scan import Query, Search, row_topk
from st_spark.topk.scores import Matrix, Places, Scores, chunks, row_norms
from st_spark.topk.settings import device, float32_rounding
from st_spark.topk.tiles import Tiles, list_tiles

Flags = npt.NDArray[np.bool_]

# Rows of one product with the centroids.
CHUNK = 1024
# Margin for the rounding of cosines of float32 rows and centroids.
_MARGIN = 1e-5
# Columns for each wanted neighbour that raise a row's threshold at first.
_FIRST_COLUMNS = 6
# Int8 products are this much faster, so clusters pay later.
_INT8_SPEED = 4
# Rows and columns of the sample that shows which share of the pairs is left.
_SAMPLED_ROWS, _SAMPLED_COLUMNS = 256, 4096
# There are 4 times the root of the columns as clusters, at most 4,096: tables hold all pairs of clusters.
_PER_ROOT, _MAX_CLUSTERS = 4, 4096
# Largest squared cosine of two centroids for which the bound uses both.
_MAX_SQUARED_COSINE = 0.5


class TwoDirectionBound:
    """Bounds the cosines of rows with the columns of each cluster, from centroids of length 1."""

    def __init__(self, centroids: torch.Tensor) -> None:
        self._cosines = centroids @ centroids.t()
        squares = self._cosines.square()
        # Scales what is left of a centroid at right angles to another one to length 1; 0 where only one is used.
        usable = squares <= _MAX_SQUARED_COSINE
        self._stretch = torch.where(usable, (1 - squares).clamp_(min=1 - _MAX_SQUARED_COSINE).rsqrt_(), 0.0)
        # [clusters of columns, clusters of rows] largest |y e| of the columns, as far as they were added.
        self._reach = torch.zeros_like(squares)
        self._lowest = torch.full((len(centroids),), torch.inf)

    def add(self, cosines: torch.Tensor, own: Places, error: float) -> None:
        """Add columns by their cosines with all centroids, [n, clusters], and their clusters, [n].

        All must be added before rows are compared. `error` bounds the error of the cosines.
        """
        cluster = torch.from_numpy(own)
        along = cosines.gather(1, cluster[:, None])
        self._lowest.scatter_reduce_(0, cluster, along[:, 0] - error, "amin")
        side = self._cosines.index_select(0, cluster).mul_(along).sub_(cosines)
        side = side.abs_().add_(2 * error).mul_(self._stretch.index_select(0, cluster))
        self._reach.scatter_reduce_(0, cluster[:, None].expand(side.shape), side, "amax")

    def upper(self, cosines: torch.Tensor, own: Places, error: float) -> torch.Tensor:
        """Return a bound on the cosines of rows with all columns of a cluster, [n, clusters]; infinite for no bound.

        `cosines` are of the rows, which may be shorter than 1, with all centroids. `own` is a cluster of each row: any
        is correct, the nearest prunes most. `error` bounds the error of the cosines.
        """
        cluster = torch.from_numpy(own)
        side = self._cosines.index_select(0, cluster).mul_(cosines).sub_(cosines.gather(1, cluster[:, None]))
        side = side.mul_(self._stretch.index_select(0, cluster)).abs_()
        residual = torch.addcmul(torch.tensor(1 + 6 * error), cosines, cosines, value=-1)
        residual = residual.addcmul_(side, side, value=-1).clamp_(min=0).sqrt_()
        cosine, sine = self._spread
        # The bound holds for all columns of the cluster only if it falls with their distance from the centroid.
        falls = cosines * sine <= residual * cosine
        upper = side.mul_(self._reach_of_rows.index_select(0, cluster)).addcmul_(cosines, cosine)
        return upper.addcmul_(residual, sine).masked_fill_(falls.logical_not_(), torch.inf)

    @cached_property
    def _reach_of_rows(self) -> torch.Tensor:
        return self._reach.t().contiguous()

    @cached_property
    def _spread(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Lowest cosine of the columns of each cluster with its centroid, and its sine: NaN if there is no bound."""
        cosine = (self._lowest - _MARGIN).clamp_(0.0, 1.0)
        return cosine, torch.where(cosine > 0, (1 - cosine.square()).sqrt_(), torch.nan)


class Clusters:
    """The columns of a search by cluster, for cosine or dot, around centroids of length 1."""

    def __init__(self, right: Matrix, score: str, centroids: torch.Tensor, dtype: torch.dtype) -> None:
        self.dtype = dtype
        unit = float(centroids.abs().max()) / 127
        self._codes = (centroids / unit).round().to(dtype) if dtype == torch.int8 else centroids
        self._inverse = 1 / self._codes.float().norm(dim=1)
        self._bound = TwoDirectionBound(self._codes.float() * self._inverse[:, None])
        # What float32 rounds away of a product, as a share of the lengths.
        self._rounding = 2 * float32_rounding(right.shape[1])
        rows = CenteredRows.scaled(right, score)
        own = self._add_columns(columns := quantize(rows, dtype))
        self._longest = float(columns.norms.max())
        order = np.argsort(own, kind="stable")
        self.starts = np.searchsorted(own[order], np.arange(len(self) + 1))
        self.columns = quantize(rows, dtype, order=order, blocks=self.starts)

    def __len__(self) -> int:
        return len(self._codes)

    def nearest(self, rows: QuantizedMatrix, count: int) -> Places:
        """Return the clusters whose centroids are nearest to each row, the nearest one first: [n, count]."""
        found = np.empty((len(rows), count), np.int64)
        for part in chunks(len(rows), CHUNK):
            cosines = self._cosines(rows, part, np.ones(1))  # topk(1) is many times slower than argmax()
            found[part] = cosines.topk(count).indices if count > 1 else cosines.numpy().argmax(axis=1)[:, None]
        return found

    def can_reach(self, rows: QuantizedMatrix, part: slice, own: Places, thresholds: Scores) -> Flags:
        """Return whether some rows may reach their thresholds in each cluster, [part, clusters].

        The rows are quantised like the columns. `own` is a cluster of each, best the nearest.
        """
        norms, errors = rows.norms[part] + rows.error_bound[part], rows.error_bound[part]
        most = norms * self._longest
        wanted = np.divide(thresholds - errors * self._longest, most, where=most > 0, out=np.zeros(len(thresholds)))
        wanted -= 4 * self._rounding + _MARGIN
        # None, some or all cosines are enough.
        wanted = np.where(wanted > 1, np.inf, np.where(wanted > 0, wanted, -np.inf)).astype(np.float32)
        upper = self._bound.upper(self._cosines(rows, part, 1 / norms), own, self._rounding)
        return np.asarray(upper.numpy() >= wanted[:, None])

    def _add_columns(self, columns: QuantizedMatrix) -> Places:
        """Return the cluster of each column, and tell the bound about the columns."""
        own, norms = np.empty(len(columns), np.int64), row_norms(columns.rows.source) * columns.rows.factors
        inverse = np.divide(1.0, norms, where=norms > 0, out=np.zeros(len(norms)))
        errors = columns.error_bound * inverse + self._rounding
        for part in chunks(len(columns), CHUNK):
            cosines = self._cosines(columns, part, inverse[part])
            own[part] = cosines.numpy().argmax(axis=1)
            self._bound.add(cosines, own[part], float(errors[part].max()))
        return own

    def _cosines(self, rows: QuantizedMatrix, part: slice, inverse: Scores) -> torch.Tensor:
        """Return the products of some rows, times the inverse of their lengths, with all centroids."""
        x, y = rows.codes[part], self._codes.t()
        cosines = torch.mul(torch._int_mm(x, y) if self.dtype == torch.int8 else x @ y, self._inverse)
        return cosines.mul_(torch.from_numpy(rows.scales[part] * inverse).float()[:, None])


def find_clusters(query: Query) -> Clusters | None:
    """Cluster the columns, or return None where the full scan takes less time.

    A sample decides before anything expensive: vectors without clusters cost little here.
    """
    right, settings, dtype = query.right, query.settings, query.settings.format()
    default = (1 << 28) * (_INT8_SPEED if dtype == torch.int8 else 1)
    min_pairs = default if settings.min_pairs is None else settings.min_pairs
    # The bound is for products alone. A GPU multiplies all pairs in less time than many small tiles.
    if len(query.left) * len(right) < min_pairs or query.score == "euclidean" or device().type == "cuda":
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
    if query.k is not None:  # otherwise the search does not raise thresholds
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
        self.rows = quantize(CenteredRows.scaled(rows, query.score), clusters.dtype)
        self.tiles = Tiles(self.rows, clusters.columns)
        self._clusters, self._shape = clusters, query.settings.list_tile
        count = -(-_FIRST_COLUMNS * (query.k or 0) * len(clusters) // len(query.right))
        # The clusters that are searched first: [rows, count], the nearest one first.
        self._nearest = clusters.nearest(self.rows, min(max(count, 1), len(clusters)))

    def searches(self, topk: TopKCollector) -> Iterator[Search]:
        """Yield the clusters around each row, which raise its threshold, then all others that it can reach."""
        yield from self.first_searches()
        topk.raise_thresholds()
        count, parts = len(self._clusters), chunks(len(self.rows), CHUNK)
        reached = [part.start * count + np.flatnonzero(self.can_reach(part, topk)) for part in parts]
        yield from self._search(*np.divmod(np.concatenate(reached), count))

    def first_searches(self) -> Iterator[Search]:
        """Yield the clusters around each row."""
        rows = np.repeat(np.arange(len(self.rows)), self._nearest.shape[1])
        yield from self._search(rows, self._nearest.ravel())

    def can_reach(self, part: slice, topk: TopKCollector) -> Flags:
        """Return whether some rows can reach each cluster that is not around them, [part, clusters]."""
        own = self._nearest[part]
        reached = self._clusters.can_reach(self.rows, part, own[:, 0], topk.thresholds[part])
        reached[np.arange(len(own))[:, None], own] = False
        return reached

    def _search(self, rows: np.ndarray, clusters: np.ndarray) -> Iterator[Search]:
        for places, columns in list_tiles(clusters, rows, self._clusters.starts, self._shape):
            yield places, columns, places

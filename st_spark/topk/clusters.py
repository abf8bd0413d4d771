"""Cluster pruning: clusters that cannot contain a match are skipped. The result stays exact.

Let a be the centroid of a row's own cluster and b the centroid of another cluster. The two-direction bound splits a
row x and a column y of that cluster, both of length 1, into three parts: along b; along e, the direction of a at right
angles to b; and the residual outside both. By Cauchy-Schwarz
    x y <= (x b) (y b) + |x e| |y e| + r(x) r(y)
where r is the residual norm. Most of a row's length lies along a, so little is left for another cluster. With b alone,
which is the triangle inequality of angles, far fewer clusters can be skipped.
"""

from functools import cached_property

import numpy as np
import torch

from st_spark.topk.quantized import QuantizedMatrix, quantize
from st_spark.topk.scores import Matrix, Places, Scores, chunks, row_norms, unit_factors

# Rows of one product with the centroids.
CHUNK = 1024
# Margin for the rounding of cosines of float32 rows and centroids.
_MARGIN = 1e-5
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
        self._rounding = 2.0**-22 * (right.shape[1] + 16)
        factors = unit_factors(right, score)
        own = self._add_columns(columns := quantize(right, factors, dtype))
        self._longest = float(columns.norms.max())
        order = np.argsort(own, kind="stable")
        self.starts = np.searchsorted(own[order], np.arange(len(self) + 1))
        self.columns = quantize(right, factors, dtype, order=order, blocks=self.starts)

    def __len__(self) -> int:
        return len(self._codes)

    def nearest(self, rows: QuantizedMatrix, count: int) -> Places:
        """Return the clusters whose centroids are nearest to each row, the nearest one first: [n, count]."""
        found = np.empty((len(rows), count), np.int64)
        for part in chunks(len(rows), CHUNK):
            cosines = self._cosines(rows, part, np.ones(1))
            found[part] = cosines.topk(count).indices.numpy() if count > 1 else cosines.numpy().argmax(1)[:, None]
        return found

    def upper(self, rows: QuantizedMatrix, part: slice, own: Places) -> torch.Tensor:
        """Bound the cosines of some rows, quantised like the columns, with each cluster, [part, clusters].

        `own` is a cluster of each of these rows, best the nearest.
        """
        norms = rows.norms[part] + rows.error_bound[part]
        return self._bound.upper(self._cosines(rows, part, 1 / norms), own, self._rounding)

    def wanted(self, thresholds: Scores, norms: Scores, errors: Scores) -> torch.Tensor:
        """Return which cosine upper() must reach so that the product of a row and a column may reach a threshold, [n].

        The rows have these lengths and error bounds.
        """
        most = (norms + errors) * self._longest
        wanted = np.divide(thresholds - errors * self._longest, most, where=most > 0, out=np.zeros(len(thresholds)))
        wanted -= 4 * self._rounding + _MARGIN
        # None, some or all are enough.
        return torch.from_numpy(np.where(wanted > 1, np.inf, np.where(wanted > 0, wanted, -np.inf))).float()

    def _add_columns(self, columns: QuantizedMatrix) -> Places:
        """Return the cluster of each column, and tell the bound about the columns."""
        own, norms = np.empty(len(columns), np.int64), row_norms(columns.source) * columns.factors
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

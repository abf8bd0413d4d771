"""Leave out rows that cannot win, for a few queries: one float32 product, before rows are sorted and quantised.

For few queries to prepare the rows costs more than to compare them.
"""

import numpy as np
import numpy.typing as npt

from st_spark.topk.scores import Matrix, row_norms

# With more queries, or more winners, the full search is faster.
_MAX_QUERIES, _MAX_SHARE = 128, 0.125
# Products of shorter vectors lose digits in float32.
_SMALLEST = 2.0**-86


def can_win(queries: Matrix, rows: Matrix, k: int, score: str) -> npt.NDArray[np.bool_] | None:
    """Return which rows can be among the k best of a query, or tie with the last one; None if all may be.

    The vectors are as in search.top_k(). A product is off by `error` at most. So the k-th best score is at least the
    k-th best product minus `error`, and a row that can reach it has at least this product minus twice `error`.
    """
    if score == "euclidean" or not 0 < len(queries) <= _MAX_QUERIES or k * len(queries) > _MAX_SHARE * len(rows):
        return None
    norms, others = row_norms(rows), row_norms(queries)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        products = rows.astype(np.float32, copy=False) @ queries.astype(np.float32, copy=False).T
        if score == "cosine":
            products /= norms[:, None].astype(np.float32)
            largest = others
        else:
            largest = others * norms.max()
    smallest = min(norms.min() * others.min(), norms.min(), others.min())
    if not np.isfinite(products).all() or smallest < _SMALLEST:
        return None
    error = (2.0**-23 * (rows.shape[1] + 16)) * largest  # of the sum, and of the roundings to float32
    best = np.partition(products, len(rows) - k, axis=0)[len(rows) - k].astype(np.float64)
    lowest = np.nextafter((best - 2 * error).astype(np.float32), np.float32(-np.inf))
    return np.asarray((products >= lowest).any(axis=1))

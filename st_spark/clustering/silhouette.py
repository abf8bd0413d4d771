"""The silhouette of clusters, which says how well they are apart: the criterion that chooses the number of clusters."""

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.scores import Places, chunks

_CHUNK = 4096


def silhouette(rows: torch.Tensor, cluster: Places, score: str) -> float:
    """Return the mean silhouette of rows, -1 to 1: Spark's and scikit-learn's for these distances.

    A row's silhouette is (b - a) / max(a, b): a is its mean distance to the other rows of its cluster, and b to the
    rows of the nearest other one. The distance is 1 - cosine for "cosine", else the squared distance. Both need only
    the sums of the rows of each cluster. A row alone in its cluster counts 0.

    Args:
        rows: [n, d] float32; of length 1 for cosine.
        cluster: [n] the cluster of each row.
        score: One of choices.SCORES.
    """
    _, cluster, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return 0.0
    rows = rows if score == "cosine" else rows - rows.mean(dim=0)  # smaller squares keep more digits
    sums = torch.zeros(len(sizes), rows.shape[1], dtype=torch.float64)
    sums.index_add_(0, torch.from_numpy(cluster), rows.double())
    squares = rows.double().square().sum(dim=1).numpy()
    of_clusters = np.bincount(cluster, squares)
    total = 0.0
    for part in chunks(len(rows), _CHUNK):
        products = (rows[part].double() @ sums.T).numpy()
        far = sizes - products
        distances = far if score == "cosine" else squares[part, None] * sizes - 2 * products + of_clusters
        total += _silhouettes(distances, cluster[part], sizes).sum()
    return float(total / len(rows))


def _silhouettes(distances: npt.NDArray[np.float64], cluster: Places, sizes: Places) -> npt.NDArray[np.float64]:
    """Return the silhouette of rows from the sum of their distances to the rows of each cluster, [n, k]."""
    row = np.arange(len(cluster))
    others = sizes[cluster] - 1
    inside = np.maximum(distances[row, cluster], 0.0) / np.maximum(others, 1)
    means = distances / sizes
    means[row, cluster] = np.inf
    outside = np.maximum(means.min(axis=1), 0.0)
    larger = np.maximum(inside, outside)
    return np.where((others > 0) & (larger > 0), (outside - inside) / np.where(larger > 0, larger, 1.0), 0.0)

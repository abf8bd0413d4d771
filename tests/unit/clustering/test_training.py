"""K-means on a sample, and the silhouette that chooses the number of clusters."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from st_spark.clustering.silhouette import silhouette
from st_spark.clustering.training import counts_to_try, train


@pytest.mark.parametrize(("score", "metric"), [("cosine", "cosine"), ("euclidean", "sqeuclidean")])
def test_the_silhouette_is_that_of_scikit_learn(score: str, metric: str) -> None:
    from sklearn.metrics import silhouette_score

    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 5)).astype(np.float32) + 2
    if score == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cluster = random.integers(0, 4, 300) * 2  # numbers may be missing
    cluster[0] = 9  # a row alone
    expected = silhouette_score(rows.astype(np.float64), cluster, metric=metric)
    assert silhouette(torch.from_numpy(rows), cluster, score) == pytest.approx(expected, abs=1e-6)
    assert silhouette(torch.from_numpy(rows), np.zeros(300, np.int64), score) == 0.0


@pytest.mark.parametrize("score", ["cosine", "euclidean"])
def test_the_inertia_is_as_low_as_that_of_scikit_learn(score: str) -> None:
    from sklearn.cluster import KMeans

    random = np.random.default_rng(1)
    rows = random.normal(size=(30, 8))[random.integers(0, 30, 3000)] + random.normal(scale=0.4, size=(3000, 8))
    sample = (5e20 * rows).astype(np.float32)  # float32 cannot hold squares of these
    trained = train(sample, [30], score, 7).matrix
    assert (train(sample, [30], score, 7).matrix == trained).all()
    x = rows / np.linalg.norm(rows, axis=1, keepdims=True) if score == "cosine" else rows
    theirs = KMeans(30, n_init=1, random_state=0).fit(x).cluster_centers_
    if score == "cosine":
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)

    def inertia(centroids: npt.NDArray[np.float64]) -> float:
        return float(np.square(x[:, None] - centroids).sum(axis=2).min(axis=1).sum())

    assert inertia(trained / (1.0 if score == "cosine" else 5e20)) < 1.03 * inertia(theirs)


def test_equal_rows_give_fewer_centroids_than_asked() -> None:
    sample = np.repeat(np.eye(3, dtype=np.float32), 50, axis=0)
    assert len(train(sample, [5], "cosine", 0).matrix) == 3


def test_many_numbers_of_clusters_are_tried_in_equal_ratios() -> None:
    assert counts_to_try(3, 3) == [3]
    assert counts_to_try(2, 10) == list(range(2, 11))
    tried = counts_to_try(2, 50)
    assert (tried[0], tried[-1], len(tried)) == (2, 50, 12)

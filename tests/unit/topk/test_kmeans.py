"""K-means: seeded, finds what is there, and copes with samples that have less than is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.choices import SCORES
from st_spark.topk.kmeans import _shares, list_centroids
from st_spark.topk.scores import Matrix


def clustered(rows: int, clusters: int, d: int = 24) -> tuple[Matrix, Matrix]:
    random = np.random.default_rng(0)
    middles = random.normal(size=(clusters, d))
    noisy = middles[random.integers(0, clusters, rows)] + 0.05 * random.normal(size=(rows, d))
    return noisy.astype(np.float32), middles.astype(np.float32)


def spread(rows: Matrix, centres: Matrix) -> float:
    return float(np.mean([((centres - row) ** 2).sum(axis=1).min() for row in rows]))


@pytest.mark.parametrize("score", SCORES)
def test_the_same_sample_has_the_same_centroids(score: str) -> None:
    rows, _ = clustered(2000, 30)
    first, again = list_centroids(rows, 50, score), list_centroids(rows.copy(), 50, score)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (50, 24)
    assert first.dtype == np.float32
    assert not np.array_equal(first, list_centroids(rows, 50, score, seed=1))


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=30).filter(any), st.integers(1, 60))
def test_groups_share_all_centroids(sizes: list[int], count: int) -> None:
    """A group with rows has one at least, and none has more than rows."""
    rows = np.array(sizes)
    count = max(count, int((rows > 0).sum()))
    shares = _shares(rows, count)
    assert (shares >= (rows > 0)).all()
    assert (shares <= rows).all()
    assert shares.sum() <= count
    if (rows >= count).all():
        assert shares.sum() == count


def test_spherical_centroids_have_length_one() -> None:
    rows, _ = clustered(500, 10)
    np.testing.assert_allclose(
        np.linalg.norm(list_centroids(rows.astype(np.float64), 20, "cosine"), axis=1), 1, atol=1e-5
    )


def test_centroids_are_much_nearer_than_random_rows() -> None:
    rows, _ = clustered(3000, 40)
    assert spread(rows, list_centroids(rows, 80, "euclidean")) < 0.2 * spread(rows, rows[:80])


def test_centroids_that_follow_each_other_are_near_each_other() -> None:
    """Partitions of inverted lists rely on it."""
    centroids = list_centroids(clustered(4000, 8)[0], 64, "euclidean")
    distances = np.linalg.norm(centroids[:, None] - centroids, axis=2)
    assert np.diagonal(distances, 1).mean() < 0.6 * distances.mean()


def test_a_sample_of_few_different_rows_gives_centroids_all_the_same() -> None:
    rows = np.repeat(clustered(3, 3)[0], 100, axis=0)
    found = list_centroids(rows, 10, "euclidean")
    assert len(found) == 10
    assert np.isfinite(found).all()
    assert spread(rows[::100], found) < 1e-6
    assert list_centroids(rows[:1], 10, "cosine").shape == (1, 24)
    assert list_centroids(rows[::100], 10, "dot").shape == (3, 24)

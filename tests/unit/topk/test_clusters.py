"""Cluster pruning skips only clusters in which no product is high enough."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.topk.centered import CenteredRows
from st_spark.topk.clusters import Clusters, find_clusters, sampled_share
from st_spark.topk.kmeans import spread_centroids
from st_spark.topk.quantized import quantize
from st_spark.topk.scan import Query
from st_spark.topk.scores import Matrix, rescaled
from st_spark.topk.search import above, top_k, top_k_both
from st_spark.topk.settings import Settings
from tests.unit.topk.oracle import KINDS, best, best_of, scores, triples, vectors

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU searches without clusters")


def always(form: str = "int8") -> Settings:
    """Return settings that cluster few rows, however little the clusters skip."""
    return Settings(dtype=getattr(torch, form), cluster_rows=50, min_pairs=0, max_share=np.inf)


def clustered(count: int, seed: int, noise: float = 0.2) -> Matrix:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(1).standard_normal((100, 64))
    made = centers[rng.integers(0, 100, count)] + noise * rng.standard_normal((count, 64))
    return np.ascontiguousarray(made, dtype=np.float32)


# A processor without VNNI takes a hundred times as long for a product in int8.
@pytest.mark.parametrize("form", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
@pytest.mark.parametrize("score", ["cosine", "dot"])
@pytest.mark.parametrize("kind", KINDS)
def test_top_k_by_clusters_matches_float64(score: str, kind: str, form: str) -> None:
    left, right = vectors(kind, 80, 24, 1), vectors(kind, 500, 24, 2)
    values = scores(left, right, score)
    assert triples(top_k(left, right, 10, score, settings=always(form))) == best_of(values, 10)
    forward, backward = top_k_both(left, right, 4, score, settings=always(form))
    assert triples(forward) == best_of(values, 4)
    assert triples(backward) == best_of(values.T.copy(), 4)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 200), st.sampled_from([1, 2, 5, 33])),
    k=st.sampled_from([1, 2, 10, 500]),
    kind=st.sampled_from(KINDS),
    score=st.sampled_from(["cosine", "dot"]),
    share=st.sampled_from([None, 0.5, 0.99]),
)
def test_top_k_by_clusters_matches_float64_for_all_shapes(
    shape: tuple[int, int, int], k: int, kind: str, score: str, share: float | None
) -> None:
    n, m, width = shape
    left, right = vectors(kind, n, width, 3), vectors(kind, m, width, 4)
    values, sizes = scores(left, right, score), always()
    threshold = None if share is None else float(np.quantile(values, share))
    expected = best_of(values, k, -np.inf if threshold is None else threshold)
    assert triples(top_k(left, right, k, score, threshold=threshold, settings=sizes)) == expected
    forward, backward = top_k_both(left, right, k, score, settings=sizes)
    assert triples(forward) == best_of(values, k)
    assert triples(backward) == best(right, left, k, score)
    if threshold is not None:
        assert triples(above(left, right, threshold, score, settings=sizes)) == best_of(values, None, threshold)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    count=st.integers(1, 150),
    share=st.floats(0, 1),
    kind=st.sampled_from(KINDS),
    score=st.sampled_from(["cosine", "dot"]),
)
def test_a_self_join_by_clusters_returns_each_pair_once(count: int, share: float, kind: str, score: str) -> None:
    rows = vectors(kind, count, 5, 8)
    values = scores(rows, rows, score)
    threshold = float(np.quantile(values, share))
    expected = [(i, j, value) for i, j, value in best_of(values, None, threshold) if i < j]
    for part in (50, 800):
        sizes = Settings(cluster_rows=part, min_pairs=0, max_share=np.inf)
        assert triples(above(rows, rows, threshold, score, self_join=True, settings=sizes)) == expected


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    score=st.sampled_from(["cosine", "dot"]),
    share=st.floats(0, 1),
    form=st.sampled_from(["int8", "float32"]),
    seed=st.integers(0, 9),
)
def test_a_skipped_cluster_has_nothing_that_a_row_wants(
    kind: str, score: str, share: float, form: str, seed: int
) -> None:
    """Whatever cluster a row is assigned to."""
    left, right, _ = rescaled(vectors(kind, 20, 16, 5), vectors(kind, 300, 16, 6), score)
    dtype = getattr(torch, form)
    clusters = Clusters(right, score, spread_centroids(right, 70), dtype)
    true = scores(left, right, score)[:, clusters.columns.order]
    wanted = np.quantile(true, share, axis=1)
    rows = quantize(CenteredRows.scaled(left, score), dtype)
    own = np.random.default_rng(seed).integers(0, len(clusters), 20)
    reached = clusters.can_reach(rows, slice(0, 20), own, wanted)
    for cluster, (start, stop) in enumerate(zip(clusters.starts, clusters.starts[1:], strict=False)):
        assert (true[~reached[:, cluster], start:stop] < wanted[~reached[:, cluster], None]).all()


def test_more_rows_than_one_product_with_the_centroids_has() -> None:
    left, right = clustered(1500, 4, 0.25), clustered(800, 5, 0.25)
    found = top_k(left, right, 3, "cosine", settings=replace(always("float32"), cluster_rows=1400))
    assert triples(found) == best_of(scores(left, right, "cosine"), 3)


@pytest.mark.slow
def test_clusters_leave_few_pairs_and_are_not_used_for_noise() -> None:
    sizes = Settings(min_pairs=100)
    left, right = clustered(300, 2), clustered(9000, 3)
    query = Query(left, right, 10, "cosine", np.full(300, -np.inf), sizes)
    assert find_clusters(query) is not None
    assert sampled_share(query, spread_centroids(right, 380)) < 0.05
    found = top_k(left, right, 10, "cosine", settings=sizes)
    assert triples(found.take(np.flatnonzero(found.left < 40))) == best(left[:40], right, 10, "cosine")
    assert find_clusters(replace(query, left=clustered(300, 2, 10), right=clustered(9000, 3, 10))) is None


def test_a_high_threshold_leaves_few_pairs() -> None:
    left, right = clustered(300, 2, 0.7), clustered(9000, 3, 0.7)
    query = Query(left, right, None, "cosine", np.full(300, 0.95), Settings(min_pairs=100))
    assert sampled_share(query, spread_centroids(right, 380)) < 0.025


def test_the_sample_raises_no_threshold_if_all_pairs_are_wanted() -> None:
    left, right = clustered(300, 2), clustered(9000, 3)
    query = Query(left, right, None, "cosine", np.full(300, -1.0), Settings(min_pairs=100))
    assert sampled_share(query, spread_centroids(right, 380)) > 0.9

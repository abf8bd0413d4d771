"""Caps leave out pairs by what a product at most can be: none that is good enough."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.topk import cluster_scan, search, trial
from st_spark.topk.clusters import SHELLS, Caps, units_of
from st_spark.topk.pivots import pivots_of
from st_spark.topk.products import factors
from st_spark.topk.quantized import Plan, encoded
from st_spark.topk.scores import Matrix, leveled
from st_spark.topk.search import above, top_k, top_k_both
from tests.unit.topk.oracle import best, scores, triples
from tests.unit.topk.test_search import KINDS, vectors


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caps for however few rows, however little they leave out."""
    for name in ("_PAIRS", "_MANY"):
        monkeypatch.setattr(trial, name, 0)
    monkeypatch.setattr(trial, "_SHARE", 1.0)
    monkeypatch.setattr(trial, "_COST", np.inf)
    monkeypatch.setattr(trial, "expected", lambda *given: (0.0, 1.0))
    monkeypatch.setattr(search, "_HELD", 50)


def clustered(count: int, seed: int, noise: float = 0.2) -> Matrix:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(1).standard_normal((100, 64))
    made = centers[rng.integers(0, 100, count)] + noise * rng.standard_normal((count, 64))
    return np.ascontiguousarray(made, dtype=np.float32)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("wide", [0.25, 2.0])
@pytest.mark.parametrize("form", ["int8", "float32"])
@pytest.mark.parametrize("score", ["cosine", "dot"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_by_caps_are_those_of_float64(
    score: str, kind: str, form: str, wide: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where shells that all rows look into are not left to others."""
    monkeypatch.setattr(cluster_scan, "_WIDE", wide)
    monkeypatch.setattr(trial, "fastest", lambda device: getattr(torch, form))
    left, right = vectors(kind, 120, 24, 1), vectors(kind, 900, 24, 2)
    assert triples(top_k(left, right, 10, score)) == best(left, right, 10, score)
    forward, backward = top_k_both(left, right, 4, score)
    assert triples(forward) == best(left, right, 4, score)
    assert triples(backward) == best(right, left, 4, score)


@pytest.mark.usefixtures("always")
@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 200), st.sampled_from([1, 2, 5, 33])),
    k=st.sampled_from([1, 2, 10, 500]),
    kind=st.sampled_from(KINDS),
    score=st.sampled_from(["cosine", "dot"]),
    share=st.sampled_from([None, 0.5, 0.99]),
)
def test_the_best_by_caps_are_those_of_float64_for_all_shapes(
    shape: tuple[int, int, int], k: int, kind: str, score: str, share: float | None
) -> None:
    n, m, width = shape
    left, right = vectors(kind, n, width, 3), vectors(kind, m, width, 4)
    everything = best(left, right, None, score)
    threshold = None if share is None else float(np.quantile([value for *_, value in everything], share))
    expected = best(left, right, k, score, -np.inf if threshold is None else threshold)
    assert triples(top_k(left, right, k, score, threshold=threshold)) == expected
    forward, backward = top_k_both(left, right, k, score)
    assert triples(forward) == best(left, right, k, score)
    assert triples(backward) == best(right, left, k, score)
    if threshold is not None:
        assert triples(above(left, right, threshold, score)) == best(left, right, None, score, threshold)


@pytest.mark.usefixtures("always")
@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 150),
    share=st.floats(0, 1),
    kind=st.sampled_from(KINDS),
    score=st.sampled_from(["cosine", "dot"]),
)
def test_a_table_with_itself_gives_each_pair_once_by_caps(count: int, share: float, kind: str, score: str) -> None:
    rows = vectors(kind, count, 5, 8)
    threshold = float(np.quantile([value for *_, value in best(rows, rows, None, score)], share))
    wanted = [(i, j, value) for i, j, value in best(rows, rows, None, score, threshold) if i < j]
    assert triples(above(rows, rows, threshold, score, upper=True)) == wanted


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    score=st.sampled_from(["cosine", "dot"]),
    share=st.floats(0, 1),
    form=st.sampled_from(["int8", "float32"]),
    seed=st.integers(0, 9),
)
def test_a_closed_shell_has_nothing_that_a_row_needs(kind: str, score: str, share: float, form: str, seed: int) -> None:
    """Whatever cap a row is said to be near to."""
    left, right, _ = leveled(vectors(kind, 20, 16, 5), vectors(kind, 300, 16, 6), score)
    caps = Caps(right, score, pivots_of(right, units_of(right), 70), getattr(torch, form))
    true = scores(left, right, score)[:, caps.rows.order]
    need = np.quantile(true, share, axis=1)
    codes = encoded(left, Plan(np.arange(20), factors(left, score)), getattr(torch, form))
    own = np.random.default_rng(seed).integers(0, caps.count, 20)
    assert_closed(caps, caps.opened(codes, slice(0, 20), own, need), true < need[:, None])
    # And none that needs the row.
    back = np.quantile(true, share, axis=0)
    shells = [back[start:stop].min(initial=np.inf) for start, stop in zip(caps.shells, caps.shells[1:], strict=False)]
    opened = caps.opened(codes, slice(0, 20), own, need, np.array(shells))
    assert_closed(caps, opened, (true < need[:, None]) & (true < back))


def assert_closed(caps: Caps, opened: npt.NDArray[np.uint8], hopeless: npt.NDArray[np.bool_]) -> None:
    """Where rows do not look there is nothing for them."""
    for place, (start, stop) in enumerate(zip(caps.shells, caps.shells[1:], strict=False)):
        cap, shell = divmod(place, SHELLS)
        assert hopeless[opened[:, cap] > shell, start:stop].all()


def test_clusters_leave_few_pairs_open_and_noise_leaves_caps_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PAIRS", 100)
    left, right = clustered(300, 2), clustered(9000, 3)
    nothing = np.full(300, -np.inf)
    caps = trial.caps_for(left, right, 10, "cosine", nothing)
    assert caps is not None
    assert cluster_scan.Nearby(caps, left, 10, nothing).cost() < 0.2
    found = top_k(left, right, 10, "cosine")
    assert triples(found.taken(np.flatnonzero(found.left < 40))) == best(left[:40], right, 10, "cosine")
    assert trial.caps_for(clustered(300, 2, 10), clustered(9000, 3, 10), 10, "cosine", nothing) is None


def test_a_threshold_that_few_pairs_of_a_cluster_have_leaves_few_pairs_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PAIRS", 100)
    left, right = clustered(300, 2, 0.7), clustered(9000, 3, 0.7)
    needed = np.full(300, 0.95)
    caps = trial.caps_for(left, right, None, "cosine", needed)
    assert caps is not None
    assert cluster_scan.Nearby(caps, left, None, needed).cost() < 0.1

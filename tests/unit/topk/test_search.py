"""Exact search, against a float64 comparison of all pairs."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.choices import SCORES
from st_spark.topk import tiles
from st_spark.topk.scores import Places, Rescorer, Scores, exact_scores
from st_spark.topk.search import above, top_k, top_k_both
from st_spark.topk.settings import Settings
from tests.unit.topk.oracle import FORMATS, KINDS, best, best_of, scores, triples, vectors

SHAPES = st.tuples(st.integers(0, 60), st.integers(0, 150), st.sampled_from([1, 2, 5, 33]))
# Every block, tile and buffer is smaller than the tests' matrices.
SMALL = Settings(tile=(32, 128), max_held=500)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", KINDS)
def test_top_k_matches_float64_in_every_format(score: str, kind: str) -> None:
    """Row numbers and scores to the last bit, by each format that some device multiplies fastest."""
    left, right = vectors(kind, 70, 24, 1), vectors(kind, 900, 24, 2)
    expected = best(left, right, 10, score)
    for form in FORMATS:
        assert triples(top_k(left, right, 10, score, settings=Settings(dtype=getattr(torch, form)))) == expected, form


@settings(max_examples=150)
@given(shape=SHAPES, k=st.sampled_from([1, 2, 10, 500]), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_top_k_matches_float64_for_all_shapes(shape: tuple[int, int, int], k: int, kind: str, score: str) -> None:
    """Also for empty sides, more wanted than there are, and one dimension, where all cosines tie."""
    n, m, width = shape
    left, right = vectors(kind, n, width, 3), vectors(kind, m, width, 4)
    expected = best(left, right, k, score)
    assert triples(top_k(left, right, k, score)) == expected
    assert triples(top_k(left.astype(np.float64), right.astype(np.float64), k, score)) == expected


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", KINDS)
def test_top_k_both_matches_float64_in_every_format(score: str, kind: str) -> None:
    left, right = vectors(kind, 300, 24, 13), vectors(kind, 500, 24, 14)
    values = scores(left, right, score)
    expected = best_of(values, 2), best_of(values.T.copy(), 2)
    for form in FORMATS:
        forward, backward = top_k_both(left, right, 2, score, settings=Settings(dtype=getattr(torch, form)))
        assert (triples(forward), triples(backward)) == expected, form


@settings(max_examples=100)
@given(shape=SHAPES, k=st.sampled_from([1, 2, 10, 500]), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_top_k_both_matches_float64_for_all_shapes(shape: tuple[int, int, int], k: int, kind: str, score: str) -> None:
    n, m, width = shape
    left, right = vectors(kind, n, width, 15), vectors(kind, m, width, 16)
    forward, backward = top_k_both(left, right, k, score)
    assert triples(forward) == best(left, right, k, score)
    assert triples(backward) == best(right, left, k, score)


@settings(max_examples=60)
@given(count=st.integers(1, 150), k=st.integers(1, 30), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_top_k_excludes_the_row_itself_but_not_its_copies(count: int, k: int, kind: str, score: str) -> None:
    rows = vectors(kind, count, 5, 5)
    itself = np.arange(count)
    assert triples(top_k(rows, rows, k, score, self_index=itself)) == best(rows, rows, k, score, self_index=itself)


@settings(max_examples=60)
@given(shape=SHAPES, share=st.floats(0, 1), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_above_finds_all_pairs_from_the_threshold_on(
    shape: tuple[int, int, int], share: float, kind: str, score: str
) -> None:
    """Also pairs with exactly the threshold."""
    n, m, width = shape
    left, right = vectors(kind, n, width, 6), vectors(kind, m, width, 7)
    values = scores(left, right, score)
    threshold = float(np.sort(values.ravel())[int(share * (values.size - 1))]) if values.size else 0.5
    assert triples(above(left, right, threshold, score)) == best_of(values, None, threshold)
    assert triples(top_k(left, right, 3, score, threshold=threshold)) == best_of(values, 3, threshold)
    of_rows = np.sort(values)[:, int(share * (m - 1))] if m else np.zeros(n)
    found = top_k(left, right, 3, score, threshold=of_rows)
    assert triples(found) == best_of(values, 3, of_rows[:, None])


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(0, 60), st.integers(0, 150)),
    share=st.floats(0, 1),
    kind=st.sampled_from(KINDS),
    score=st.sampled_from(SCORES),
    directions=st.integers(1, 32),
    most=st.sampled_from([1 / 64, 1.0]),
)
def test_leading_directions_do_not_change_the_result(
    shape: tuple[int, int], share: float, kind: str, score: str, directions: int, most: float
) -> None:
    """If any share of a tile may be candidates, none is computed again in float32."""
    left, right = vectors(kind, shape[0], 33, 6), vectors(kind, shape[1], 33, 7)
    values, own = scores(left, right, score), scores(left, left, score)
    threshold, lowest = (float(np.quantile(each, share)) if each.size else 0.5 for each in (values, own))
    sizes = replace(SMALL, dtype=torch.float32, directions=directions)
    with patch.object(tiles, "_MAX_UPPER", most):
        assert triples(above(left, right, threshold, score, settings=sizes)) == best_of(values, None, threshold)
        found = top_k(left, right, 3, score, threshold=threshold, settings=sizes)
        assert triples(found) == best_of(values, 3, threshold)
        once = [(i, j, value) for i, j, value in best_of(own, None, lowest) if i < j]
        assert triples(above(left, left, lowest, score, self_join=True, settings=sizes)) == once
        forward, backward = top_k_both(left, right, 3, score, settings=sizes)
        assert (triples(forward), triples(backward)) == (best_of(values, 3), best_of(values.T.copy(), 3))


def test_a_program_may_let_torch_multiply_float32_in_fewer_bits() -> None:
    left, right = vectors("normal", 200, 33, 1), vectors("normal", 500, 33, 2)
    expected = best(left, right, 5, "cosine")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        for sizes in (Settings(dtype=torch.float32), replace(SMALL, dtype=torch.float32, min_pairs=1, max_share=1.0)):
            assert triples(top_k(left, right, 5, "cosine", settings=sizes)) == expected
    finally:
        torch.set_float32_matmul_precision(before)


@settings(max_examples=60)
@given(count=st.integers(0, 150), share=st.floats(0, 1), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_a_self_join_returns_each_pair_once(count: int, share: float, kind: str, score: str) -> None:
    rows = vectors(kind, count, 5, 8)
    values = scores(rows, rows, score)
    threshold = float(np.sort(values.ravel())[int(share * (values.size - 1))]) if values.size else 0.5
    expected = [(i, j, value) for i, j, value in best_of(values, None, threshold) if i < j]
    for sizes in (Settings(), SMALL):
        assert triples(above(rows, rows, threshold, score, self_join=True, settings=sizes)) == expected


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", ["clusters", "normal", "copies", "outlier"])
def test_tile_sizes_do_not_change_the_result(score: str, kind: str) -> None:
    left, right = vectors(kind, 100, 64, 9), vectors(kind, 400, 64, 10)
    values = scores(left, right, score)
    threshold = float(np.quantile(values, 0.99))
    expected = best_of(values, 10)
    for sizes in (Settings(), SMALL):
        assert triples(top_k(left, right, 10, score, settings=sizes)) == expected
        assert triples(above(left, right, threshold, score, settings=sizes)) == best_of(values, None, threshold)
    forward, backward = top_k_both(left, right, 10, score, settings=SMALL)
    assert (triples(forward), triples(backward)) == (expected, best_of(values.T.copy(), 10))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_rows_that_are_nearly_the_same_are_told_apart(score: str, noise: float) -> None:
    """Pairs are closer than quantised values tell, and even float32. No more are held than memory allows."""
    rng = np.random.default_rng(0)
    mean = rng.standard_normal(16)
    left, right = (mean + noise * rng.standard_normal((n, 16)) for n in (80, 300))
    values = scores(left, right, score)
    expected = best_of(values, 10), best_of(values.T.copy(), 10)
    for form in FORMATS:
        sizes = Settings(dtype=getattr(torch, form), tile=(32, 128), max_held=500)
        forward, backward = top_k_both(left, right, 10, score, settings=sizes)
        assert (triples(forward), triples(backward)) == expected, form


def test_few_pairs_are_rescored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the products would be for nothing."""
    rescored = 0
    rescore = Rescorer.__call__

    def counted(self: Rescorer, rows: Places, columns: Places) -> Scores:
        nonlocal rescored
        rescored += len(rows)
        return rescore(self, rows, columns)

    monkeypatch.setattr(Rescorer, "__call__", counted)
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((n, 128)).astype(np.float32) for n in (1000, 10_000))
    top_k(left, right, 10, "cosine")
    assert 0 < rescored < 100 * 1000
    # A shared mean costs no precision.
    rescored = 0
    top_k(left + 2, right + 2, 10, "cosine")
    assert 0 < rescored < 100 * 1000
    # For "dot" the right side's mean may be much longer than the left rows, and may not be theirs.
    for short in (1e-6 * (left + 2), 0.05 * (left + 2), 1e-6 * left, -0.05 * (left + 2)):
        rescored = 0
        top_k(short, right + 2, 10, "dot")
        assert 0 < rescored < 100 * 1000


def test_rows_sorted_from_worst_to_best_are_no_problem() -> None:
    """The worst case of a search that raises its thresholds."""
    right = np.linspace(1, 0, 6000)[:, None] * [[1.0, 0.0]] + [[0.0, 1.0]]
    left = np.array([[0.0, 1.0]])
    assert top_k(left, right, 5, "cosine").right.tolist() == [5999, 5998, 5997, 5996, 5995]


def test_a_vector_has_a_cosine_of_exactly_one_with_itself() -> None:
    rows = vectors("normal", 500, 37, 13)
    assert (exact_scores(rows, rows, "cosine") == 1.0).all()
    assert (exact_scores(rows, rows, "euclidean") == 0.0).all()


@pytest.mark.parametrize("score", SCORES)
def test_a_score_is_the_same_from_both_sides(score: str) -> None:
    x, y = vectors("normal", 300, 37, 14), vectors("far", 300, 37, 15)
    assert (exact_scores(x, y, score) == exact_scores(y, x, score)).all()

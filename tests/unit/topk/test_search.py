"""The best pairs, against a float64 comparison of all of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.choices import SCORES
from st_spark.topk import candidates, full_scan, products
from st_spark.topk.scores import Matrix, Places, Rescorer, Scores, exact_scores
from st_spark.topk.search import above, top_k, top_k_both
from tests.unit.topk.oracle import best, scores, triples

SHAPES = st.tuples(st.integers(0, 60), st.integers(0, 150), st.sampled_from([1, 2, 5, 33]))
KINDS = ("normal", "copies", "signs", "clusters", "far", "tiny", "outlier", "huge", "minute")


def vectors(kind: str, count: int, width: int, seed: int) -> Matrix:
    """float32 rows, none of length zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, width))
    if kind == "signs":
        x = np.sign(x)
    if kind == "clusters":
        x = np.random.default_rng(7).standard_normal((4, width))[rng.integers(0, 4, count)] + 0.05 * x
    if kind == "far":
        x = 100 + x * rng.integers(1, 1000, (count, 1))
    if kind == "tiny":
        x *= 1e-6
    if kind in ("huge", "minute"):  # float32 does not hold their squares
        x *= 1e25 if kind == "huge" else 1e-25
    if kind == "outlier" and count:
        x[:: max(count // 3, 1), 0] *= 1000
    if kind == "copies" and count:
        x = np.random.default_rng(8).standard_normal((count // 3 + 1, width))[rng.integers(0, count // 3 + 1, count)]
    return np.ascontiguousarray(x, dtype=np.float32)


@pytest.fixture(params=["int8", "float32", "bfloat16"])
def any_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates by each format that some device multiplies fastest."""
    monkeypatch.setattr(products, "fastest", lambda device: getattr(torch, request.param))


@pytest.mark.usefixtures("any_format")
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_are_those_of_float64_in_every_format(score: str, kind: str) -> None:
    """Ids and scores to the last bit."""
    left, right = vectors(kind, 70, 24, 1), vectors(kind, 900, 24, 2)
    assert triples(top_k(left, right, 10, score)) == best(left, right, 10, score)


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, k=st.sampled_from([1, 2, 10, 500]), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_the_best_are_those_of_float64_for_all_shapes(
    shape: tuple[int, int, int], k: int, kind: str, score: str
) -> None:
    """Also empty sides, more wanted than there are, and one dimension, where all cosines tie."""
    n, m, width = shape
    left, right = vectors(kind, n, width, 3), vectors(kind, m, width, 4)
    assert triples(top_k(left, right, k, score)) == best(left, right, k, score)
    again = left.astype(np.float64), right.astype(np.float64)
    assert triples(top_k(*again, k, score)) == best(*again, k, score)


@pytest.mark.usefixtures("any_format")
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_of_both_sides_are_those_of_float64_in_every_format(score: str, kind: str) -> None:
    left, right = vectors(kind, 650, 24, 13), vectors(kind, 900, 24, 14)
    forward, backward = top_k_both(left, right, 4, score)
    assert triples(forward) == best(left, right, 4, score)
    assert triples(backward) == best(right, left, 4, score)


@settings(max_examples=100, deadline=None)
@given(shape=SHAPES, k=st.sampled_from([1, 2, 10, 500]), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_the_best_of_both_sides_are_those_of_float64_for_all_shapes(
    shape: tuple[int, int, int], k: int, kind: str, score: str
) -> None:
    n, m, width = shape
    left, right = vectors(kind, n, width, 15), vectors(kind, m, width, 16)
    forward, backward = top_k_both(left, right, k, score)
    assert triples(forward) == best(left, right, k, score)
    assert triples(backward) == best(right, left, k, score)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 150), k=st.integers(1, 30), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_a_row_is_no_neighbour_of_itself_but_its_copies_are(count: int, k: int, kind: str, score: str) -> None:
    rows = vectors(kind, count, 5, 5)
    itself = np.arange(count)
    assert triples(top_k(rows, rows, k, score, twins=itself)) == best(rows, rows, k, score, twins=itself)


@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, share=st.floats(0, 1), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_all_pairs_from_a_threshold_on_are_found(
    shape: tuple[int, int, int], share: float, kind: str, score: str
) -> None:
    """Those that have exactly the threshold, too."""
    n, m, width = shape
    left, right = vectors(kind, n, width, 6), vectors(kind, m, width, 7)
    values = np.sort(scores(left, right, score).ravel())
    threshold = float(values[int(share * (len(values) - 1))]) if len(values) else 0.5
    assert triples(above(left, right, threshold, score)) == best(left, right, None, score, threshold)
    assert triples(top_k(left, right, 3, score, threshold=threshold)) == best(left, right, 3, score, threshold)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 150), share=st.floats(0, 1), kind=st.sampled_from(KINDS), score=st.sampled_from(SCORES))
def test_a_table_with_itself_gives_each_pair_once(count: int, share: float, kind: str, score: str) -> None:
    rows = vectors(kind, count, 5, 8)
    values = np.sort(scores(rows, rows, score).ravel())
    threshold = float(values[int(share * (len(values) - 1))]) if len(values) else 0.5
    wanted = [(i, j, value) for i, j, value in best(rows, rows, None, score, threshold) if i < j]
    assert triples(above(rows, rows, threshold, score, upper=True)) == wanted


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", ["clusters", "normal", "copies", "outlier"])
def test_many_tiles_and_stripes_give_what_one_gives(score: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are no part of the answer."""
    left, right = vectors(kind, 300, 64, 9), vectors(kind, 900, 64, 10)
    threshold = float(np.quantile(scores(left, right, score), 0.99))
    whole = triples(top_k(left, right, 10, score)), triples(above(left, right, threshold, score))
    monkeypatch.setattr(full_scan, "_ROWS", (32, 32))
    monkeypatch.setattr(full_scan, "_COLUMNS", (128, 128))
    monkeypatch.setattr(full_scan, "_GROUP", 32)
    monkeypatch.setattr(candidates, "_HELD", 500)
    monkeypatch.setattr(full_scan, "_PIVOT", 100)
    assert (triples(top_k(left, right, 10, score)), triples(above(left, right, threshold, score))) == whole
    assert whole[0] == best(left, right, 10, score)
    both = tuple(triples(pairs) for pairs in top_k_both(left, right, 10, score))
    assert both == (whole[0], best(right, left, 10, score))


@pytest.mark.usefixtures("any_format")
@pytest.mark.parametrize("score", SCORES)
def test_rows_that_are_nearly_the_same_are_told_apart(score: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs are closer together than codes tell, and even float32; as many are held as memory allows."""
    monkeypatch.setattr(full_scan, "_ROWS", (32, 32))
    monkeypatch.setattr(full_scan, "_COLUMNS", (128, 128))
    monkeypatch.setattr(candidates, "_HELD", 500)
    rng = np.random.default_rng(0)
    middle = rng.standard_normal(16)
    for noise in (1e-3, 1e-6, 1e-9):
        left, right = (middle + noise * rng.standard_normal((n, 16)) for n in (80, 300))
        forward, backward = top_k_both(left, right, 10, score)
        assert triples(forward) == best(left, right, 10, score)
        assert triples(backward) == best(right, left, 10, score)


def test_a_sweep_looks_at_few_pairs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the products would be for nothing."""
    looked = 0
    about = Rescorer.about

    def counted(self: Rescorer, rows: Places, columns: Places) -> tuple[Scores, Scores]:
        nonlocal looked
        looked += len(rows)
        return about(self, rows, columns)

    monkeypatch.setattr(Rescorer, "about", counted)
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((n, 128)).astype(np.float32) for n in (1000, 10_000))
    top_k(left, right, 10, "cosine")
    assert looked < 100 * 1000
    # A mean that all have in common costs no precision.
    looked = 0
    top_k(left + 2, right + 2, 10, "cosine")
    assert looked < 100 * 1000


def test_sorted_input_gives_the_same_as_shuffled() -> None:
    """Each row better than the one before: the worst case of a search that raises its threshold."""
    right = np.linspace(1, 0, 6000)[:, None] * [[1.0, 0.0]] + [[0.0, 1.0]]
    left = np.array([[0.0, 1.0]])
    assert top_k(left, right, 5, "cosine").right.tolist() == [5999, 5998, 5997, 5996, 5995]


def test_pairs_below_a_rows_floor_are_not_wanted() -> None:
    left, right = vectors("normal", 40, 8, 11), vectors("normal", 90, 8, 12)
    floor = np.sort(scores(left, right, "cosine"), axis=1)[:, -4]
    found = top_k(left, right, 10, "cosine", floor=floor)
    assert triples(found) == [t for t in best(left, right, 10, "cosine") if t[2] >= floor[t[0]]]
    assert np.bincount(found.left).tolist() == [4] * 40


def test_a_vector_has_a_cosine_of_exactly_one_with_itself() -> None:
    rows = vectors("normal", 500, 37, 13)
    assert (exact_scores(rows, rows, "cosine") == 1.0).all()
    assert (exact_scores(rows, rows, "euclidean") == 0.0).all()


@pytest.mark.parametrize("score", SCORES)
def test_a_score_is_the_same_from_both_sides(score: str) -> None:
    x, y = vectors("normal", 300, 37, 14), vectors("far", 300, 37, 15)
    assert (exact_scores(x, y, score) == exact_scores(y, x, score)).all()

"""Visits to cells: exact in what is visited, ties, equal rows and all; every cell visited is the exact answer."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.choices import SCORES
from st_spark.topk import candidates
from st_spark.topk import inverted_lists as room
from st_spark.topk.inverted_lists import Visits, nearest
from st_spark.topk.pairs import Pairs
from st_spark.topk.scores import Matrix, Places, exact_scores
from st_spark.topk.search import top_k


def all_visits(n: int, cells: int) -> Visits:
    return Visits(np.repeat(np.arange(n), cells), np.tile(np.arange(cells), n), np.tile(np.arange(cells), n))


def cells_of(right: Matrix, cells: int) -> Places:
    """A cell for each row that equal rows share."""
    return np.asarray(np.abs(right * 1000).sum(axis=1).astype(np.int64) % cells)


def some_rows(random: np.random.Generator, rows: int, ties: bool) -> Matrix:
    return random.integers(-2, 3, (rows, 3)) if ties else random.normal(size=(rows, 5))


def assert_same(found: Pairs, wanted: Pairs) -> None:
    np.testing.assert_array_equal(found.left, wanted.left)
    np.testing.assert_array_equal(found.right, wanted.right)
    np.testing.assert_array_equal(found.score, wanted.score)


@given(
    st.tuples(st.integers(0, 40), st.integers(0, 60)),
    st.integers(1, 8),
    st.integers(1, 12),
    st.sampled_from(SCORES),
    st.sampled_from([None, -0.5, 0.3, -2.0]),
    st.integers(0, 10_000),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 500]),
)
@settings(deadline=None, max_examples=200)
def test_who_visits_every_cell_gets_the_exact_answer(
    sizes: tuple[int, int],
    cells: int,
    k: int,
    score: str,
    threshold: float | None,
    seed: int,
    ties: bool,
    double: bool,
    few: int,
) -> None:
    """By float32 products and by codes."""
    random = np.random.default_rng(seed)
    left, right = (some_rows(random, rows, ties).astype(np.float64 if double else np.float32) for rows in sizes)
    if score == "cosine":
        left, right = (side[np.abs(side).sum(axis=1) > 0] for side in (left, right))
    with mock.patch.object(room, "_FEW", few):
        visits = all_visits(len(left), cells)
        found = nearest(left, right, cells_of(right, cells), visits, k, score, threshold=threshold)
    assert_same(found, top_k(left, right, k, score, threshold=threshold))


@pytest.mark.parametrize("score", SCORES)
def test_a_row_is_no_neighbour_of_itself(score: str) -> None:
    rows = np.random.default_rng(0).integers(-2, 3, (200, 4)).astype(np.float32)
    rows = rows[np.abs(rows).sum(axis=1) > 0]
    twins = np.arange(len(rows))
    found = nearest(rows, rows, cells_of(rows, 7), all_visits(len(rows), 7), 5, score, twins=twins)
    assert_same(found, top_k(rows, rows, 5, score, twins=twins))
    assert (found.left != found.right).all()


@pytest.mark.parametrize("score", SCORES)
def test_only_what_is_visited_is_found(score: str) -> None:
    random = np.random.default_rng(1)
    left, right = (random.normal(size=(rows, 16)).astype(np.float32) for rows in (300, 500))
    cells = random.integers(0, 20, 500)
    probes = np.stack([random.permutation(20)[:3] for _ in range(300)])
    visits = Visits(np.repeat(np.arange(300), 3), probes.ravel(), np.tile(np.arange(3), 300))
    found = nearest(left, right, cells, visits, 10, score)
    for row in range(300):
        seen = np.flatnonzero(np.isin(cells, probes[row]))
        wanted = top_k(left[[row]], right[seen], 10, score)
        assert found.right[found.left == row].tolist() == seen[wanted.right].tolist()


@pytest.mark.parametrize("few", [0, 500])
@pytest.mark.parametrize("score", SCORES)
def test_rows_that_are_nearly_the_same_are_told_apart(score: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_FEW", few)
    random = np.random.default_rng(2)
    middle = random.normal(size=32)
    left, right = (middle + 1e-7 * random.normal(size=(rows, 32)) for rows in (60, 900))
    monkeypatch.setattr(candidates, "_HELD", 1000)
    found = nearest(left, right, np.arange(900) % 2, all_visits(60, 2), 3, score)
    assert_same(found, top_k(left, right, 3, score))


@pytest.mark.parametrize("few", [0, 500])
@pytest.mark.parametrize("score", SCORES)
def test_tiles_do_not_matter_nor_does_the_size_of_the_numbers(
    score: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_FEW", few)
    random = np.random.default_rng(3)
    left, right = (1e60 * random.normal(size=(rows, 8)) + 1e61 for rows in (100, 300))
    scores = np.stack([exact_scores(left, np.tile(each, (100, 1)), score) for each in right], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :4]
    wanted = Pairs(np.repeat(np.arange(100), 4), order.ravel(), np.take_along_axis(scores, order, axis=1).ravel())
    monkeypatch.setattr(room, "_ROWS", 16)
    monkeypatch.setattr(room, "_COLUMNS", 32)
    assert_same(nearest(left, right, np.arange(300) % 3, all_visits(100, 3), 4, score), wanted)

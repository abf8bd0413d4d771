"""A search of inverted lists is exact within the probed lists, including ties and equal rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.choices import SCORES
from st_spark.topk.inverted_lists import Probes
from st_spark.topk.pairs import Pairs
from st_spark.topk.scores import Matrix, Places, exact_scores
from st_spark.topk.search import top_k
from st_spark.topk.settings import Settings
from tests.unit.topk.oracle import FORMATS


def all_probes(n: int, of_right: Places, lists: int) -> Probes:
    return Probes(of_right, np.repeat(np.arange(n), lists), np.tile(np.arange(lists), n), np.tile(np.arange(lists), n))


def lists_of(right: Matrix, lists: int) -> Places:
    """Return a list for each row. Equal rows share it."""
    return np.asarray(np.abs(right * 1000).sum(axis=1).astype(np.int64) % lists)


def some_rows(random: np.random.Generator, rows: int, ties: bool) -> Matrix:
    return random.integers(-2, 3, (rows, 3)) if ties else random.normal(size=(rows, 5))


def assert_same(found: Pairs, wanted: Pairs) -> None:
    np.testing.assert_array_equal(found.left, wanted.left)
    np.testing.assert_array_equal(found.right, wanted.right)
    np.testing.assert_array_equal(found.score, wanted.score)


@pytest.mark.slow
@given(
    st.tuples(st.integers(0, 40), st.integers(0, 60)),
    st.integers(1, 8),
    st.integers(1, 12),
    st.sampled_from(SCORES),
    st.sampled_from([None, -0.5, 0.3, -2.0]),
    st.integers(0, 10_000),
    st.booleans(),
    st.booleans(),
    st.sampled_from(FORMATS),
)
@settings(max_examples=200)
def test_probing_all_lists_gives_the_exact_result(
    sizes: tuple[int, int],
    lists: int,
    k: int,
    score: str,
    threshold: float | None,
    seed: int,
    ties: bool,
    double: bool,
    form: str,
) -> None:
    """By float32 products, and by quantised ones."""
    random = np.random.default_rng(seed)
    left, right = (some_rows(random, rows, ties).astype(np.float64 if double else np.float32) for rows in sizes)
    if score == "cosine":
        left, right = (side[np.abs(side).sum(axis=1) > 0] for side in (left, right))
    probes, settings = all_probes(len(left), lists_of(right, lists), lists), Settings(dtype=getattr(torch, form))
    found = top_k(left, right, k, score, threshold=threshold, probes=probes, settings=settings)
    assert_same(found, top_k(left, right, k, score, threshold=threshold))


@pytest.mark.parametrize("score", SCORES)
def test_a_row_is_no_neighbour_of_itself(score: str) -> None:
    rows = np.random.default_rng(0).integers(-2, 3, (200, 4)).astype(np.float32)
    rows = rows[np.abs(rows).sum(axis=1) > 0]
    itself = np.arange(len(rows))
    probes = all_probes(len(rows), lists_of(rows, 7), 7)
    found = top_k(rows, rows, 5, score, self_index=itself, probes=probes)
    assert_same(found, top_k(rows, rows, 5, score, self_index=itself))
    assert (found.left != found.right).all()


@pytest.mark.parametrize("score", SCORES)
def test_only_probed_lists_are_searched(score: str) -> None:
    random = np.random.default_rng(1)
    left, right = (random.normal(size=(rows, 16)).astype(np.float32) for rows in (60, 500))
    lists = random.integers(0, 20, 500)
    probes = np.stack([random.permutation(20)[:3] for _ in range(60)])
    searched = Probes(lists, np.repeat(np.arange(60), 3), probes.ravel(), np.tile(np.arange(3), 60))
    found = top_k(left, right, 10, score, probes=searched)
    for row in range(60):
        seen = np.flatnonzero(np.isin(lists, probes[row]))
        wanted = top_k(left[[row]], right[seen], 10, score)
        assert found.right[found.left == row].tolist() == seen[wanted.right].tolist()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("score", SCORES)
def test_rows_that_are_nearly_the_same_are_told_apart(score: str, form: str) -> None:
    random = np.random.default_rng(2)
    middle = random.normal(size=32)
    left, right = (middle + 1e-7 * random.normal(size=(rows, 32)) for rows in (60, 900))
    sizes = Settings(dtype=getattr(torch, form), max_held=1000)
    found = top_k(left, right, 3, score, probes=all_probes(60, np.arange(900) % 2, 2), settings=sizes)
    assert_same(found, top_k(left, right, 3, score))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("score", SCORES)
def test_neither_tiles_nor_the_size_of_the_numbers_change_the_result(score: str, form: str) -> None:
    random = np.random.default_rng(3)
    left, right = (1e60 * random.normal(size=(rows, 8)) + 1e61 for rows in (100, 300))
    scores = np.stack([exact_scores(left, np.tile(each, (100, 1)), score) for each in right], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :4]
    wanted = Pairs(np.repeat(np.arange(100), 4), order.ravel(), np.take_along_axis(scores, order, axis=1).ravel())
    sizes = Settings(dtype=getattr(torch, form), list_tile=(16, 32))
    found = top_k(left, right, 4, score, probes=all_probes(100, np.arange(300) % 3, 3), settings=sizes)
    assert_same(found, wanted)

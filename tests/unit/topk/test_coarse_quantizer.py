"""Cells: the same for a row wherever it stands, near to the best, and enough of them for a wanted recall."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.choices import SCORES
from st_spark.topk import coarse_quantizer as rooms
from st_spark.topk.coarse_quantizer import Cells, best_columns, cell_count, choose_nprobe, found_within, recall_of
from st_spark.topk.scores import Matrix, exact_scores


def random_rows(n: int, d: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@given(st.integers(1, 30), st.integers(1, 900), st.integers(1, 12), st.integers(0, 50), st.booleans())
@settings(deadline=None, max_examples=60)
def test_the_best_columns_are_those_of_a_stable_sort(n: int, c: int, count: int, seed: int, whole: bool) -> None:
    random = np.random.default_rng(seed)
    tile = random.integers(-9, 9, (n, c)).astype(np.int32) if whole else random_rows(n, c, seed)
    count = min(count, c)
    np.testing.assert_array_equal(best_columns(tile, count), np.argsort(-tile, axis=1, kind="stable")[:, :count])


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_cells_are_near_to_the_best_ones_that_there_are(score: str, offset: float) -> None:
    rows, centroids = random_rows(400, 32) + offset, random_rows(60, 32, 1) + np.float32(offset)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True) if score == "cosine" else 1
    cells = Cells(centroids, score)
    for found, kind in (
        (cells.probes(rows, 4), score),
        (cells.home(rows)[:, None], "cosine" if score == "cosine" else "euclidean"),
    ):
        all_scores = np.stack([exact_scores(rows, np.tile(each, (400, 1)), kind) for each in centroids], axis=1)
        wanted = np.argsort(-all_scores, axis=1)[:, : found.shape[1]]
        same = [len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)]
        assert np.mean(same) > 0.93 * found.shape[1]


@pytest.mark.parametrize("score", SCORES)
def test_a_row_has_the_same_cells_alone_in_any_batch_and_in_any_arithmetic(
    score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, cells = random_rows(1500, 48), Cells(random_rows(300, 48, 1), score)
    home, probes = cells.home(rows), cells.probes(rows, 7)
    for first, stop in ((0, 1), (3, 700), (1000, 1500)):
        np.testing.assert_array_equal(cells.home(rows[first:stop]), home[first:stop])
        np.testing.assert_array_equal(cells.probes(rows[first:stop], 7), probes[first:stop])
    travelled = pickle.loads(pickle.dumps(cells))
    monkeypatch.setattr(rooms, "fastest", lambda device: torch.float32)
    slow = Cells(travelled.centroids, score)
    np.testing.assert_array_equal(slow.home(rows), home)
    np.testing.assert_array_equal(slow.probes(rows, 7), probes)


@pytest.mark.parametrize("score", SCORES)
def test_cells_that_are_far_from_each_other_are_all_there_are(score: str) -> None:
    """What fills them up to whole runs is none."""
    half = 1000 * random_rows(150, 8)
    far = Cells(np.concatenate((half, -half)), score)  # around the rows
    rows = 1e-3 * random_rows(50, 8, 1)
    assert max(far.home(rows).max(), far.probes(rows, 5).max()) < 300


def test_all_cells_are_probed_if_so_many_are_asked_for() -> None:
    for cells in (37, 300):
        probes = Cells(random_rows(cells, 8), "cosine").probes(random_rows(20, 8, 1), 1000)
        assert (np.sort(probes, axis=1) == np.arange(cells)).all()


def test_rows_of_zeros_have_cells_too() -> None:
    for score in ("dot", "euclidean"):
        cells = Cells(random_rows(5, 8), score)
        assert cells.home(np.zeros((2, 8), np.float32)).shape == (2,)
        assert cells.probes(np.zeros((2, 8), np.float32), 3).shape == (2, 3)


def test_the_number_of_cells_grows_with_the_root_of_the_rows_as_far_as_the_sample_allows() -> None:
    assert [cell_count(rows, min(rows, 100_000)) for rows in (1, 100, 10_000, 500_000, 10**9)] == [
        1,
        2,
        256,
        2564,
        2564,
    ]
    assert cell_count(10_000, 10_000) == 10_000 // 39
    assert cell_count(10**9, 10**9) == 4096


def test_a_recall_comes_with_an_interval_that_holds_it_and_narrows() -> None:
    random = np.random.default_rng(0)
    few, many = (recall_of(random.binomial(10, 0.9, n), np.full(n, 10)) for n in (50, 5000))
    for recall in (few, many):
        assert recall.low < recall.value < recall.high
        assert recall.low < 0.9 < recall.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_the_interval_covers_the_truth_as_often_as_it_says_also_where_pairs_stick_together() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        recall = recall_of(random.binomial(10, random.beta(9, 1, 200)), np.full(200, 10))
        covered += recall.low <= 0.9 <= recall.high
    assert covered >= 0.92 * 400


def test_a_recall_without_any_miss_or_any_pair_is_not_called_certain() -> None:
    assert recall_of(np.full(100, 10), np.full(100, 10)).low < 0.99
    assert recall_of(np.zeros(3, np.int64), np.zeros(3, np.int64)).low == 0.0


def test_as_few_cells_are_probed_as_give_the_recall() -> None:
    random = np.random.default_rng(2)
    row = np.repeat(np.arange(500), 10)
    ranks = random.geometric(0.3, 5000) - 1
    nprobe = choose_nprobe(ranks, row, 500, 100, 0.95)
    wanted = np.full(500, 10)
    assert recall_of(found_within(ranks, row, 500, nprobe), wanted).value >= 0.95
    assert recall_of(found_within(ranks, row, 500, nprobe - 1), wanted).value < 0.96
    assert choose_nprobe(ranks, row, 500, 100, 0.99) > nprobe


def test_a_recall_of_one_takes_all_cells() -> None:
    assert choose_nprobe(np.zeros(100, np.int64), np.arange(100), 100, 77, 1.0) == 77

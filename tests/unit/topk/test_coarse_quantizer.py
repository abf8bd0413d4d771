"""Lists are the same for a row in any batch, close to the best, and enough of them are probed for a wanted recall."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.choices import SCORES
from st_spark.topk.coarse_quantizer import CoarseQuantizer, best_columns, list_count
from st_spark.topk.recall import choose_nprobe, recall_of
from st_spark.topk.scores import Matrix, exact_scores


def random_rows(n: int, d: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@given(st.integers(1, 30), st.integers(1, 900), st.integers(1, 12), st.integers(0, 50), st.booleans())
@settings(max_examples=60)
def test_the_best_columns_are_those_of_a_stable_sort(n: int, c: int, count: int, seed: int, whole: bool) -> None:
    random = np.random.default_rng(seed)
    tile = random.integers(-9, 9, (n, c)).astype(np.int32) if whole else random_rows(n, c, seed)
    count = min(count, c)
    np.testing.assert_array_equal(best_columns(tile, count), np.argsort(-tile, axis=1, kind="stable")[:, :count])


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_lists_are_close_to_the_best_ones(score: str, offset: float) -> None:
    rows, centroids = random_rows(400, 32) + offset, random_rows(60, 32, 1) + np.float32(offset)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True) if score == "cosine" else 1
    lists = CoarseQuantizer(centroids, score)
    for found, kind in (
        (lists.probe(rows, 4), score),
        (lists.assign(rows)[:, None], "cosine" if score == "cosine" else "euclidean"),
    ):
        all_scores = np.stack([exact_scores(rows, np.tile(each, (400, 1)), kind) for each in centroids], axis=1)
        wanted = np.argsort(-all_scores, axis=1)[:, : found.shape[1]]
        same = [len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)]
        assert np.mean(same) > 0.93 * found.shape[1]


@pytest.mark.parametrize("score", SCORES)
def test_a_row_has_the_same_lists_in_any_batch_and_format(score: str) -> None:
    rows, lists = random_rows(1500, 48), CoarseQuantizer(random_rows(300, 48, 1), score)
    assigned, probes = lists.assign(rows), lists.probe(rows, 7)
    for first, stop in ((0, 1), (3, 700), (1000, 1500)):
        np.testing.assert_array_equal(lists.assign(rows[first:stop]), assigned[first:stop])
        np.testing.assert_array_equal(lists.probe(rows[first:stop], 7), probes[first:stop])
    travelled = pickle.loads(pickle.dumps(lists))
    slow = CoarseQuantizer(travelled.centroids, score, torch.float32)
    np.testing.assert_array_equal(slow.assign(rows), assigned)
    np.testing.assert_array_equal(slow.probe(rows, 7), probes)


def test_all_lists_are_probed_if_so_many_are_asked_for() -> None:
    for count in (37, 300):
        probes = CoarseQuantizer(random_rows(count, 8), "cosine").probe(random_rows(20, 8, 1), 1000)
        assert (np.sort(probes, axis=1) == np.arange(count)).all()


def test_rows_of_zeros_have_lists_too() -> None:
    for score in ("dot", "euclidean"):
        lists = CoarseQuantizer(random_rows(5, 8), score)
        assert lists.assign(np.zeros((2, 8), np.float32)).shape == (2,)
        assert lists.probe(np.zeros((2, 8), np.float32), 3).shape == (2, 3)


def test_the_number_of_lists_grows_with_the_root_of_the_rows_as_far_as_the_sample_allows() -> None:
    assert [list_count(rows, min(rows, 100_000)) for rows in (1, 100, 10_000, 500_000, 10**9)] == [
        1,
        2,
        256,
        2564,
        2564,
    ]
    assert list_count(10_000, 10_000) == 10_000 // 39
    assert list_count(10**9, 10**9) == 4096


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


def test_as_few_lists_are_probed_as_give_the_recall() -> None:
    random = np.random.default_rng(2)
    row = np.repeat(np.arange(500), 10)
    ranks = random.geometric(0.3, 5000) - 1
    nprobe = choose_nprobe(ranks, row, 500, 100, 0.95)
    wanted = np.full(500, 10)
    assert recall_of(np.bincount(row[ranks < nprobe], minlength=500), wanted).value >= 0.95
    assert recall_of(np.bincount(row[ranks < nprobe - 1], minlength=500), wanted).value < 0.96
    assert choose_nprobe(ranks, row, 500, 100, 0.99) > nprobe


def test_a_recall_of_one_takes_all_lists() -> None:
    assert choose_nprobe(np.zeros(100, np.int64), np.arange(100), 100, 77, 1.0) == 77

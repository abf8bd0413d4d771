"""QuerySearch: the best rows of each query over any batches and blocks, against float64 arithmetic."""

from functools import partial
from unittest.mock import Mock, patch

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.errors import InputError
from st_spark.join.lowest_scores import lowest_scores
from st_spark.join.query_scan import check_size
from st_spark.join.tasks.query_search import REASON, ROWS, QuerySearch
from st_spark.join.tasks.results import merge_lists
from st_spark.topk.prefilter import can_win
from tests.spark.join.tables import random_vectors, scores


@settings(max_examples=60)
@given(
    st.integers(0, 99),
    st.sampled_from(["cosine", "dot", "euclidean"]),
    st.integers(1, 3),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([1e-30, 1e-12, 1.0, 1e25]),
    st.booleans(),
)
def test_best_rows_equal_float64_for_any_blocks(
    seed: int, score: str, k: int, queries: int, scale: float, close: bool
) -> None:
    rows, asked = random_vectors(seed, 120, 3) * np.float32(scale), random_vectors(seed + 1, queries, 3)
    if close:  # scores that float32 does not tell apart
        noise = np.random.default_rng(seed).normal(size=(120, 3)) * 1e-8
        rows = (rows[0] * (1 + noise)).astype(np.float64)
    ids = np.random.default_rng(seed).permutation(120)
    kind = pa.float32() if rows.dtype == np.float32 else pa.float64()
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), kind), 3)
    whole = pa.record_batch({"id": pa.array(ids), "vector": column})
    batches = [whole.slice(0, 50), whole.slice(50, 0), whole.slice(50)]
    parts = list(QuerySearch(asked, k, score, block_bytes=600)(iter(batches)))
    found = pa.Table.from_batches(parts).sort_by("left_id")
    lists = found.filter(found["left_id"].is_valid()).select(["left_id", "right_id", "score"])
    merged = pa.Table.from_batches(list(merge_lists(iter(lists.combine_chunks().to_batches()), k))).to_pylist()
    all_scores = scores(asked, rows, score)
    expected = [
        (query, number, rank)
        for query, row in enumerate(all_scores)
        for rank, (_, number) in enumerate(sorted(zip(-row, ids.tolist(), strict=True))[:k], 1)
    ]
    assert [(row["left_id"], row["right_id"], row["rank"]) for row in merged] == expected
    counts = found.filter(found["left_id"].is_null())
    assert set(counts[REASON].to_pylist()) == {"searched"}
    assert sum(counts[ROWS].to_pylist()) == 120
    second = pa.Table.from_batches(list(QuerySearch(asked, k, score, first=5)(iter(batches))))
    assert set(second["left_id"].to_pylist()) == set(range(5, 5 + queries))  # and no counts: these rows are counted


@given(st.integers(0, 99), st.sampled_from(["cosine", "dot", "euclidean"]), st.integers(1, 3), st.integers(1, 4))
def test_a_query_is_compared_with_the_rows_of_its_lists_alone(seed: int, score: str, k: int, nprobe: int) -> None:
    rows, asked = random_vectors(seed, 90, 3), random_vectors(seed + 1, 7, 3)
    rng = np.random.default_rng(seed)
    lists = np.unique(rows, axis=0, return_inverse=True)[1].ravel() % 9  # equal rows have equal lists
    probes = np.array([rng.permutation(9)[:nprobe] for _ in asked], np.int32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 3)
    whole = pa.record_batch({"id": pa.array(range(90)), "vector": column, "list": pa.array(lists, pa.int32())})
    search = QuerySearch(asked, k, score, probes=probes, block_bytes=400)
    parts = list(search(iter([whole.slice(0, 40), whole.slice(40)])))
    found = pa.Table.from_batches(parts).sort_by("left_id")
    pairs = found.filter(found["left_id"].is_valid()).select(["left_id", "right_id", "score"])
    merged = pa.Table.from_batches(list(merge_lists(iter(pairs.combine_chunks().to_batches()), k))).to_pylist()
    expected = []
    for query, values in enumerate(scores(asked, rows, score)):
        near = [(-values[row], row) for row in range(90) if lists[row] in probes[query]]
        expected += [(query, row, rank) for rank, (_, row) in enumerate(sorted(near)[:k], 1)]
    assert [(row["left_id"], row["right_id"], row["rank"]) for row in merged] == expected


@settings(max_examples=40)
@given(st.integers(0, 99), st.sampled_from(["cosine", "dot", "euclidean"]), st.integers(1, 3), st.booleans())
def test_a_task_returns_no_row_that_earlier_tasks_of_its_worker_beat(
    seed: int, score: str, k: int, names: bool
) -> None:
    rows, asked = random_vectors(seed, 80, 3), random_vectors(seed + 1, 5, 3)
    ids = pa.array([f"row {number:02}" for number in range(80)] if names else range(80))
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 3)
    whole, search = pa.record_batch({"id": ids, "vector": column}), QuerySearch(asked, k, score)
    values = scores(asked, rows, score)

    def task(stage: int, partition: int) -> set[tuple[int, str]]:
        """Search a half of the rows; return the queries and the rows that are found."""
        context = Mock(stageId=lambda: stage, partitionId=lambda: partition)
        with patch("pyspark.TaskContext.get", return_value=context):
            lowest = lowest_scores(search.name, len(asked))
        found = pa.Table.from_batches(list(search(iter([whole.slice(40 * partition, 40)]), lowest))).to_pylist()
        return {(row["left_id"], row_id) for row in found if row["left_id"] is not None for row_id in row["right_id"]}

    def best(first: int, lowest: npt.NDArray[np.float64]) -> set[tuple[int, str]]:
        ranked = np.argsort(-values[:, first : first + 40], axis=1, kind="stable")[:, :k] + first
        return {(n, ids[row].as_py()) for n, some in enumerate(ranked) for row in some if values[n, row] >= lowest[n]}

    none, reached = np.full(5, -np.inf), -np.sort(-values[:, :40])[:, k - 1]
    assert task(1, 0) == best(0, none)
    assert task(1, 1) == best(40, reached)
    assert task(1, 1) == best(40, none)  # tried again
    assert task(2, 0) == best(0, none)  # the search runs again


def test_few_queries_leave_out_most_rows() -> None:
    rows, queries = (np.random.default_rng(seed).normal(size=(n, 64)) for seed, n in enumerate((5000, 3)))
    search = partial(can_win, queries, rows, 10)
    for score in ("cosine", "dot"):
        winning = search(score)
        assert winning is not None
        assert 10 <= winning.sum() < 60
    assert search("euclidean") is None
    assert can_win(queries * 1e-20, rows * 1e-20, 10, "dot") is None  # float32 rounds these products to zero
    assert can_win(queries, rows * 1e38, 10, "dot") is None  # float32 cannot hold these products


def test_more_queries_than_the_driver_holds_are_an_error() -> None:
    check_size(699_050, 384, "questions")
    with pytest.raises(InputError, match=r"questions has 699,051 queries, .* 699,050 of 384 dimensions. Fix: join"):
        check_size(699_051, 384, "questions")
    with pytest.raises(InputError, match="at most 21,845"):
        check_size(30_000, 384, "questions", connect=True)

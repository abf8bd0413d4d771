"""Lists of pairs from several tasks become the best pairs of each left row."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from st_spark.join.tasks.results import list_batch, merge_lists
from st_spark.topk.pairs import Pairs


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))
def test_merged_lists_hold_the_k_best_pairs(seed: int, tasks: int, k: int, batch_rows: int) -> None:
    random = np.random.default_rng(seed)
    pairs = {(int(i), int(j)): float(random.integers(0, 4)) for i, j in random.integers(0, 6, (20, 2))}
    left_ids, right_ids = pa.array([f"l{i}" for i in range(6)]), pa.array(range(6))
    lists = []
    for task in range(tasks):
        left, right = np.array([pair for pair in pairs if pair[1] % tasks == task], np.int64).reshape(-1, 2).T
        scores = np.array([pairs[i, j] for i, j in zip(left.tolist(), right.tolist(), strict=True)])
        lists.append(list_batch(left_ids, right_ids, Pairs(left, right, scores).sorted()))
    table = pa.Table.from_batches(lists).sort_by("left_id")
    merged = list(merge_lists(iter(table.to_batches(max_chunksize=batch_rows)), k))
    found = [tuple(row.values()) for batch in merged for row in batch.to_pylist()]
    expected = []
    for i in range(6):
        best = sorted((-score, j) for (row, j), score in pairs.items() if row == i)[:k]
        expected += [(f"l{i}", j, -score, rank) for rank, (score, j) in enumerate(best, 1)]
    assert found == expected


def test_long_lists_are_cut_so_that_batches_of_lists_stay_small() -> None:
    """Spark returns a fixed number of lists in one batch."""
    left, right = np.repeat([0, 1, 2], [250, 100, 1]), np.concatenate([np.arange(250), np.arange(100), [7]])
    pairs = Pairs(left, right, 1.0 - right)
    found = list_batch(pa.array(["a", "b", "c"]), pa.array(range(250)), pairs)
    assert found.column("left_id").to_pylist() == ["a", "a", "a", "b", "c"]
    assert [len(each) for each in found.column("score").to_pylist()] == [100, 100, 50, 100, 1]
    merged = pa.Table.from_batches(merge_lists(iter([found.slice(0, 2), found.slice(2)]), 220))
    assert merged["right_id"].to_pylist() == [*range(220), *range(100), 7]
    assert merged["rank"].to_pylist() == [*range(1, 221), *range(1, 101), 1]

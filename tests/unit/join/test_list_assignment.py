"""Tasks of inverted lists: a left row is compared once with each right row of the lists that it probes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.join.tasks.list_assignment import partition_lists


@pytest.mark.slow
@given(
    st.integers(1, 40), st.integers(1, 40), st.floats(1, 500), st.floats(1, 500), st.integers(0, 1000), st.booleans()
)
@settings(max_examples=60)
def test_a_left_row_is_compared_once_with_each_right_row_of_its_lists(
    lists: int, nprobe: int, target: float, max_left: float, seed: int, skewed: bool
) -> None:
    random = np.random.default_rng(seed)
    n, m, nprobe = 30, 50, min(nprobe, lists)
    home = random.integers(0, lists, m) if not skewed else np.zeros(m, np.int64)
    probes = np.stack([random.permutation(lists)[:nprobe] for _ in range(n)])
    right, left = (7 * np.bincount(each, minlength=lists).astype(np.float64) for each in (home, probes.ravel()))
    tasks = partition_lists(right, left, target, max_left)
    hashes = random.integers(0, 2**31, n), random.integers(0, 2**31, m)
    left_row, left_task, left_list = tasks.of_left(probes, hashes[0])
    right_row, right_task = tasks.of_right(home, hashes[1])
    assert max(left_task.max(), right_task.max()) < tasks.first[-1]
    met: dict[tuple[int, int], int] = {}
    for row, task, probed in zip(left_row, left_task, left_list, strict=True):
        for other in right_row[(right_task == task) & (home[right_row] == probed)]:
            met[row, other] = met.get((row, other), 0) + 1
    wanted = {(i, j) for i in range(n) for j in range(m) if home[j] in probes[i]}
    assert set(met) == wanted
    assert set(met.values()) <= {1}


def test_partitions_have_the_target_size_and_hold_lists_that_follow_each_other() -> None:
    tasks = partition_lists(np.full(400, 10.0), np.full(400, 10.0), 1000.0, 1e9)
    assert tasks.first[-1] == 8
    assert tasks.partition.tolist() == np.repeat(np.arange(8), 50).tolist()


def test_a_large_list_has_several_right_blocks_and_one_that_many_rows_probe_several_left_blocks() -> None:
    tasks = partition_lists(np.array([1000.0, 10, 10]), np.array([10.0, 900, 10]), 300.0, 100.0)
    assert tasks.right[tasks.partition].tolist() == [4, 1, 1]
    assert tasks.left[tasks.partition[1]] >= 9

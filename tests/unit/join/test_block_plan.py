"""Plans: every grid fits a task's memory, and tasks are numbered without gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.join.block_plan import BlockPlan, Grid, choose_grid
from st_spark.join.options import Settings

sizes = st.integers(min_value=0, max_value=10**9)
TASK_BYTES = Settings().task_bytes


@given(sizes, sizes, st.integers(1, 4096), st.integers(1, 5000), st.none() | st.integers(1, 1000))
def test_every_grid_keeps_a_task_within_its_memory(left: int, right: int, d: int, cores: int, k: int | None) -> None:
    grid = choose_grid(left, right, d, cores, k)
    assert grid.left >= 1
    assert grid.right >= 1
    assert (left / grid.left + right / grid.right) * d * 5 <= TASK_BYTES * 1.0001
    grid = choose_grid(left, left, d, cores, None, triangular=True)
    assert grid.left == grid.right
    assert 2 * left / grid.left * d * 5 <= TASK_BYTES * 1.0001


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_less_memory_makes_more_blocks(left: int, right: int) -> None:
    grid = choose_grid(left, right, 4, 2, 10, settings=Settings(task_bytes=40 * 4 * 5))
    assert left / grid.left + right / grid.right <= 40 + 1


@pytest.mark.parametrize("cores", [2, 8, 64])
def test_a_small_join_is_one_task_and_a_large_one_reaches_every_core(cores: int) -> None:
    assert choose_grid(500, 500, 384, cores, 10) == Grid(1, 1)
    assert choose_grid(500, 500, 384, cores, None, triangular=True) == Grid(1, 1, triangular=True)
    assert choose_grid(500_000, 500_000, 384, cores, 10).tasks >= cores
    assert choose_grid(100_000, 100_000, 384, 2, 10) == Grid(2, 1), "nothing to merge, and few copies"


@pytest.mark.parametrize("blocks", [1, 2, 40])
def test_a_triangular_grid_has_a_task_for_each_pair_of_blocks(blocks: int) -> None:
    pairs = [(i, j) for i in range(blocks) for j in range(i, blocks)]
    assert Grid(blocks, blocks, triangular=True).tasks == len(pairs)


def test_the_tasks_of_large_keys_follow_those_that_small_keys_share() -> None:
    plan = BlockPlan(((7, Grid(2, 2)), (-5, Grid(1, 1))), 3, ("lang",))
    assert plan.first_tasks == [3, 7, 8]
    assert plan.tasks == 8
    assert plan.needs_merge
    assert not BlockPlan((), 3, ("lang",)).needs_merge

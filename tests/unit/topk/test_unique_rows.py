"""Groups of equal rows."""

import tracemalloc

import numpy as np
import pytest

from st_spark.topk.scores import Matrix
from st_spark.topk.unique_rows import unique_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_form_groups_in_the_order_of_their_first(dtype: type) -> None:
    rows: Matrix = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], dtype=dtype)
    found = unique_rows(rows)
    assert found.representatives.tolist() == [0, 1, 3]
    assert [found.group_rows[a:b].tolist() for a, b in zip(found.starts, found.starts[1:], strict=False)] == [
        [0, 2, 5],
        [1, 4],
        [3],
    ]
    which, rows_found = found.expand(np.array([2, 0, 0]), limit=2)
    assert which.tolist() == [0, 1, 1, 2, 2]
    assert rows_found.tolist() == [3, 0, 2, 0, 2]


@pytest.mark.parametrize("count", [1, 5000])
def test_many_rows_have_the_groups_that_numpy_finds(count: int) -> None:
    rows: Matrix = np.random.default_rng(0).integers(0, 12, (count, 3)).astype(np.float32)
    _, firsts, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    found = unique_rows(rows)
    assert found.representatives.tolist() == sorted(firsts.tolist())
    for first, start, stop in zip(found.representatives, found.starts, found.starts[1:], strict=False):
        assert found.group_rows[start:stop].tolist() == np.flatnonzero(group.ravel() == group.ravel()[first]).tolist()


def test_equal_rows_are_found_without_copies_of_all_rows() -> None:
    rows: Matrix = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    tracemalloc.start()
    unique_rows(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes


def test_no_rows_and_rows_without_values_form_groups() -> None:
    assert len(unique_rows(np.empty((0, 3), np.float32)).representatives) == 0
    assert unique_rows(np.empty((4, 0), np.float32)).group_rows.tolist() == [0, 1, 2, 3]

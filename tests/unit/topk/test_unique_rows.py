"""Groups of equal rows."""

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


def test_no_rows_and_rows_without_values_form_groups() -> None:
    assert len(unique_rows(np.empty((0, 3), np.float32)).representatives) == 0
    assert unique_rows(np.empty((4, 0), np.float32)).group_rows.tolist() == [0, 1, 2, 3]

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


def test_different_rows_with_the_same_hash_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash only says where to look."""
    monkeypatch.setattr("st_spark.topk.unique_rows._hashes", lambda matrix: np.zeros(len(matrix), dtype=np.uint64))
    rows = np.array([[1.0], [2.0], [1.0], [2.0]])
    found = unique_rows(rows)
    groups = [sorted(rows[found.group_rows[a:b], 0]) for a, b in zip(found.starts, found.starts[1:], strict=False)]
    assert all(len(set(group)) == 1 for group in groups)
    assert sum(map(len, groups)) == 4

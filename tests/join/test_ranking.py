"""Values of rows in tables: the same order and the same k-th as by a sort of all."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.join.ranking import tables


@given(st.integers(0, 300), st.integers(1, 2000), st.integers(1, 5), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_values_are_sorted_within_their_rows_and_the_kth_is_found(count: int, rows: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    row, value = random.integers(0, rows, count), random.permutation(count).astype(np.float64)
    found = list(tables(row, value))
    order = np.concatenate([np.empty(0, np.int64), *(table.sorted() for table in found)])
    np.testing.assert_array_equal(order, np.lexsort((-value, row)))
    kth = {int(r): v for table in found for r, v in zip(table.rows, table.kth(k), strict=True)}
    assert set(kth) == set(row.tolist())
    for each, least in kth.items():
        ours = np.sort(value[row == each])[::-1]
        assert least == (ours[k - 1] if len(ours) >= k else -np.inf)

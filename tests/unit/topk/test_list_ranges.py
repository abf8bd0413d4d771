"""list_ranges(): few ranges that hold all lists, and as few others as possible."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from st_spark.topk.list_ranges import list_ranges


@given(st.sets(st.integers(0, 200)), st.integers(1, 8))
def test_ranges_hold_all_lists_and_close_the_smallest_gaps(lists: set[int], most: int) -> None:
    found = list_ranges(np.array(sorted(lists), np.int64), most)
    held = [number for first, last in found for number in range(first, last + 1)]
    assert len(found) <= most
    assert held == sorted(set(held))
    assert lists <= set(held)
    gaps = sorted(np.diff(sorted(lists)) - 1)[::-1] if lists else []
    wanted = max(lists) - min(lists) + 1 - sum(gaps[: most - 1]) if lists else 0
    assert len(held) == wanted

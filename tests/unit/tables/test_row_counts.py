"""The number of tasks for an input: every core has work, and no task is tiny or huge."""

import pytest

from st_spark.tables.row_counts import RowCounts


@pytest.mark.parametrize(
    ("rows", "partitions", "cores", "wanted", "balanced"),
    [
        (0, (), 4, 1, False),
        (100, (100,), 4, 1, True),  # too few to share
        (5_000, (5_000,), 2, 8, False),
        (5_000, (625,) * 8, 2, 8, True),
        (5_000, (4_300,) + (100,) * 7, 2, 8, False),
        (1_000_000, (10_000,) * 100, 8, 100, True),
    ],
)
def test_unbalanced_partitions_are_replaced(
    rows: int, partitions: tuple[int, ...], cores: int, wanted: int, balanced: bool
) -> None:
    counts = RowCounts(rows, partitions, cores)
    assert (counts.wanted, counts.balanced) == (wanted, balanced)
    assert counts.tasks == (len(partitions) if balanced else wanted)

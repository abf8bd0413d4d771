"""Regions: every row of a cell meets every row that searches it, exactly once, however the cells weigh."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.join.tasks.regions import grouped


@given(
    st.integers(1, 40), st.integers(1, 40), st.floats(1, 500), st.floats(1, 500), st.integers(0, 1000), st.booleans()
)
@settings(deadline=None, max_examples=60)
def test_each_row_meets_each_that_searches_its_cell_once(
    cells: int, nprobe: int, target: float, most_left: float, seed: int, skewed: bool
) -> None:
    random = np.random.default_rng(seed)
    n, m, nprobe = 30, 50, min(nprobe, cells)
    home = random.integers(0, cells, m) if not skewed else np.zeros(m, np.int64)
    probes = np.stack([random.permutation(cells)[:nprobe] for _ in range(n)])
    right, left = (7 * np.bincount(each, minlength=cells).astype(np.float64) for each in (home, probes.ravel()))
    regions = grouped(random.normal(size=(cells, 6)), right, left, target, most_left)
    salts = random.integers(0, 2**31, n), random.integers(0, 2**31, m)
    left_row, left_meeting, left_cell = regions.left(probes, salts[0])
    right_row, right_meeting = regions.right(home, salts[1])
    assert max(left_meeting.max(), right_meeting.max()) < regions.meetings
    met: dict[tuple[int, int], int] = {}
    for row, meeting, cell in zip(left_row, left_meeting, left_cell, strict=True):
        for other in right_row[(right_meeting == meeting) & (home[right_row] == cell)]:
            met[row, other] = met.get((row, other), 0) + 1
    wanted = {(i, j) for i in range(n) for j in range(m) if home[j] in probes[i]}
    assert set(met) == wanted
    assert set(met.values()) <= {1}


def test_regions_are_about_as_heavy_as_asked_for_and_neighbours_share_them() -> None:
    random = np.random.default_rng(0)
    middles = 10 * random.normal(size=(8, 16))
    centroids = np.repeat(middles, 50, axis=0) + random.normal(size=(400, 16))
    regions = grouped(centroids, np.full(400, 10.0), np.full(400, 10.0), 1000.0, 1e9)
    sizes = np.bincount(regions.first)
    assert regions.meetings == len(sizes) == 8
    assert sizes.tolist() == [50] * 8
    own = [np.bincount(regions.first[start : start + 50]).max() for start in range(0, 400, 50)]
    assert np.mean(own) > 45


def test_a_cell_larger_than_a_region_is_split_and_one_that_many_search_is_held_several_times() -> None:
    regions = grouped(np.eye(3), np.array([1000.0, 10, 10]), np.array([10.0, 900, 10]), 300.0, 100.0)
    assert regions.pieces.tolist() == [4, 1, 1]
    first = regions.first[1]
    assert regions.meeting[first + 1] - regions.meeting[first] >= 9

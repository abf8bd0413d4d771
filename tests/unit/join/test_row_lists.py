"""RowLists: the list and the file of each row; lists that follow each other share a file."""

import numpy as np
import pyarrow as pa

from st_spark.join.list_column import file_of_lists
from st_spark.join.tasks.row_lists import RowLists
from st_spark.topk.coarse_quantizer import CoarseQuantizer


def test_a_row_has_the_list_of_its_nearest_centroid_and_a_bad_vector_has_none() -> None:
    centroids = np.eye(3, dtype=np.float32)
    work = RowLists(CoarseQuantizer(centroids, "cosine"), np.array([0, 0, 1]))
    vectors = [
        [0.1, 2.0, 0.0],
        None,
        [0.0, 0.0, 0.0],
        [1.0],
        [float("nan"), 1.0, 1.0],
        [0.0, 0.3, 5.0],
        [9.0, 1.0, 1.0],
    ]
    (found,) = work(iter([pa.array(vectors, pa.list_(pa.float32()))]))
    none = [None] * 4
    assert found.to_pylist() == [{"list": 1, "file": 0}, *none, {"list": 2, "file": 1}, {"list": 0, "file": 0}]


def test_files_hold_lists_that_follow_each_other_and_about_the_same_bytes() -> None:
    rows = np.random.default_rng(0).integers(1, 2000, 500).astype(np.float64)
    file = file_of_lists(rows, 384)
    assert (np.diff(file) >= 0).all()
    assert set(file) == set(range(file.max() + 1))
    sizes = np.bincount(file, rows) * 4 * 384 / 2**20
    assert 200 < sizes.min() <= sizes.max() < 300
    assert set(file_of_lists(rows[:5], 4)) == {0}

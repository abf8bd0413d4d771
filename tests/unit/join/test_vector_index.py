"""VectorIndex and Probing: what of an index is read."""

import numpy as np
import pytest

from st_spark.join.vector_index import Probing, VectorIndex
from st_spark.topk.coarse_quantizer import CoarseQuantizer


@pytest.mark.parametrize(
    ("rows_of_a_list", "probed", "tasks"),
    [(100, [0], 1), (20_000, [0], 1), (20_000, [0, 5], 2), (0, [3], 1), (200_000_000, [0], 10_000)],
)
def test_an_index_is_read_in_as_many_tasks_as_its_rows_and_its_files_need(
    rows_of_a_list: int, probed: list[int], tasks: int
) -> None:
    quantizer = CoarseQuantizer(np.eye(10, 384, dtype=np.float32), "cosine")
    index = VectorIndex("docs_index", quantizer, np.full(10, rows_of_a_list), {"nprobe": 1, "recall": 0.95})
    assert Probing(index, np.array([probed], np.int32)).tasks == tasks


def test_a_query_with_few_rows_looks_into_two_gigabytes_of_files_in_each_task() -> None:
    quantizer = CoarseQuantizer(np.eye(10, 384, dtype=np.float32), "cosine")
    rows = np.array([1, *[5_000_000] * 9])
    index = VectorIndex("docs_index", quantizer, rows, {"nprobe": 1, "recall": 0.95})
    assert Probing(index, np.array([[0]], np.int32)).tasks == -(-45_000_001 * 384 * 4 // 2**31)

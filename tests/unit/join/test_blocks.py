"""Blocks: every batch of rows gives the same tasks."""

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.join.tasks.blocks import LEFT_ID, RIGHT_ID, ROW_VECTOR, TASK, BlockReader, self_index

TASKS = [(0, "a"), (0, "b"), (0, "b"), (2, "b"), (2, "b"), (2, "b"), (2, "b"), (3, "c")]
IDS = [9, 7, 2**60, 5, 2**60 + 1, 8, 3, 1]
IS_LEFT = [True, True, False, False, True, True, False, True]
VECTORS: list[Any] = [[1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [6, 0], [7, 0], [8, 0]]


def rows(vectors: list[Any]) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        TASK: pa.array([task for task, _ in TASKS], pa.int32()),
        "key": [key for _, key in TASKS],
    }
    for name, side in ((LEFT_ID, True), (RIGHT_ID, False)):
        ids = [i if left == side else None for i, left in zip(IDS, IS_LEFT, strict=True)]
        columns[name] = pa.array(ids, pa.int64())
    columns[ROW_VECTOR] = pa.array(vectors, pa.list_(pa.float32()))
    columns["extra"] = pa.array([str(i) for i in IDS])
    return pa.RecordBatch.from_pydict(columns)


@given(st.sets(st.integers(min_value=1, max_value=7)))
def test_tasks_are_the_same_for_any_batches(cuts: set[int]) -> None:
    whole, places = rows(VECTORS), [0, *sorted(cuts), 8]
    batches = [whole.slice(start, stop - start) for start, stop in pairwise(places)]
    tasks = list(BlockReader(2, "cosine", ("key",), ("extra",)).read(iter(batches)))
    big = 2**60
    assert [(task.left.ids.to_pylist(), task.right.ids.to_pylist()) for task in tasks] == [
        ([9], []),
        ([7], [big]),
        ([8, big + 1], [3, 5]),
        ([1], []),
    ]
    assert not any(task.self_pairs for task in tasks)
    for block in (block for task in tasks for block in (task.left, task.right)):
        assert block.extra["extra"].to_pylist() == [str(i) for i in block.ids.to_pylist()]
        assert block.matrix.tolist() == [[float(IDS.index(i) + 1), 0.0] for i in block.ids.to_pylist()]


def test_rows_with_both_ids_are_compared_with_each_other() -> None:
    batch = rows(VECTORS)
    ids = pa.array(IDS, pa.int64())
    both = batch.set_column(2, LEFT_ID, ids).set_column(3, RIGHT_ID, ids)
    tasks = list(BlockReader(2, "cosine", ("key",)).read(iter([both])))
    assert all(task.self_pairs for task in tasks)
    assert [task.left.ids.to_pylist() for task in tasks] == [[9], [7, 2**60], [3, 5, 8, 2**60 + 1], [1]]


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize(
    "keys",
    [
        # 01:30 comes twice in the night in which daylight saving time ends. Python calls both times equal.
        pa.array([1730611800000000, 1730615400000000], pa.timestamp("us", "America/New_York")),
        # Python has no year 20000, and no text that is not UTF-8.
        pa.array([568971820800000000, 568971820800000001], pa.timestamp("us", "UTC")),
        pa.array([b"\xc3", b"\xc4"]).view(pa.string()),
    ],
    ids=["two times of one clock time", "beyond Python's years", "not UTF-8"],
)
def test_keys_are_not_compared_as_python_values(keys: pa.Array, size: int) -> None:
    columns = {
        TASK: pa.array([0] * 4, pa.int32()),
        "key": pa.concat_arrays([keys[:1], keys[:1], keys[1:], keys[1:]]),
        LEFT_ID: pa.array([1, 2, 3, 4]),
        RIGHT_ID: pa.array([1, 2, 3, 4]),
        ROW_VECTOR: pa.array([[1.0]] * 4, pa.list_(pa.float32())),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    batches = [batch.slice(start, size) for start in range(0, 4, size)]
    tasks = BlockReader(1, "dot", ("key",)).read(iter([batch.slice(0, 0), *batches]))
    assert [task.left.ids.to_pylist() for task in tasks] == [[1, 2], [3, 4]]


def test_rows_that_cannot_be_joined_are_in_no_block() -> None:
    vectors = [None, [0, 0], [1], [float("nan"), 1], [5, 0], [6, 0], [7, 0], []]
    tasks = list(BlockReader(2, "cosine", ("key",)).read(iter([rows(vectors)])))
    assert [(len(task.left), len(task.right)) for task in tasks] == [(0, 0), (0, 0), (2, 1), (0, 0)]
    assert tasks[0].left.matrix.shape == (0, 2)


def test_strings_are_ordered_by_their_bytes() -> None:
    names = ["é", "z", "\U0001f600", "ﬀ", "", "Z"]
    columns = {
        TASK: pa.array([0] * 6, pa.int32()),
        LEFT_ID: pa.array(names),
        RIGHT_ID: pa.nulls(6, pa.int64()),
        ROW_VECTOR: pa.array([[1.0]] * 6, pa.list_(pa.float32())),
    }
    (task,) = BlockReader(1, "dot").read(iter([pa.RecordBatch.from_pydict(columns)]))
    assert task.left.ids.to_pylist() == sorted(names, key=str.encode)


def test_ids_are_found_among_others() -> None:
    assert self_index(pa.array([5, 2**60 + 1, 7]), pa.array([2**60, 2**60 + 1, 5])).tolist() == [2, 1, -1]
    assert self_index(pa.array(["a", "b"]), pa.array(["b"])).tolist() == [-1, 0]
    assert self_index(pa.array(["5"]), pa.array([5])).tolist() == [-1]

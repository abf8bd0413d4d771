"""Meetings: every batch of rows gives the same sides, every grid fits, and each meeting gets a task."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_spark.join import block_plan, placement
from st_spark.join.block_plan import Grid
from st_spark.join.plan import Cut, Plan
from st_spark.join.tasks.blocks import LEFT_ID, MEETING, RIGHT_ID, ROW_VECTOR, Gathering, places_of
from tests.spark.join.tables import frame, list_column, neighbours, random_vectors, rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TAGS = [(0, "a"), (0, "b"), (0, "b"), (2, "b"), (2, "b"), (2, "b"), (2, "b"), (3, "c")]
IDS = [9, 7, 2**60, 5, 2**60 + 1, 8, 3, 1]
IS_LEFT = [True, True, False, False, True, True, False, True]
VECTORS: list[Any] = [[1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [6, 0], [7, 0], [8, 0]]


def tagged(vectors: list[Any]) -> pa.RecordBatch:
    columns: dict[str, Any] = {MEETING: pa.array([tag[0] for tag in TAGS], pa.int32()), "key": [tag[1] for tag in TAGS]}
    for name, side in ((LEFT_ID, True), (RIGHT_ID, False)):
        columns[name] = pa.array(
            [i if left == side else None for i, left in zip(IDS, IS_LEFT, strict=True)], pa.int64()
        )
    columns[ROW_VECTOR] = list_column(vectors)
    columns["carried"] = pa.array([str(i) for i in IDS])
    return pa.RecordBatch.from_pydict(columns)


@settings(deadline=None)  # the first list that becomes an Arrow array makes Arrow import pandas
@given(st.sets(st.integers(min_value=1, max_value=7)))
def test_meetings_are_the_same_however_rows_are_cut_into_batches(cuts: set[int]) -> None:
    whole, places = tagged(VECTORS), [0, *sorted(cuts), 8]
    batches = [whole.slice(start, stop - start) for start, stop in pairwise(places)]
    found = list(Gathering(2, "cosine", ("key",), ("carried",)).meetings(iter(batches)))
    assert [meeting.number for meeting in found] == [0, 0, 2, 3]
    sides = [(meeting.left, meeting.right) for meeting in found]
    big = 2**60
    assert [(left.ids.to_pylist(), right.ids.to_pylist()) for left, right in sides] == [
        ([9], []),
        ([7], [big]),
        ([8, big + 1], [3, 5]),
        ([1], []),
    ]
    for side in (side for both in sides for side in both):
        assert side.carried["carried"].to_pylist() == [str(i) for i in side.ids.to_pylist()]
        assert side.matrix.tolist() == [[float(IDS.index(i) + 1), 0.0] for i in side.ids.to_pylist()]


def test_rows_that_cannot_be_joined_are_left_out_of_meetings() -> None:
    vectors = [None, [0, 0], [1], [float("nan"), 1], [5, 0], [6, 0], [7, 0], []]
    found = list(Gathering(2, "cosine", ("key",)).meetings(iter([tagged(vectors)])))
    assert [(len(each.left.ids), len(each.right.ids)) for each in found] == [(0, 0), (0, 0), (2, 1), (0, 0)]
    assert found[0].left.matrix.shape == (0, 2)


def test_strings_are_ordered_by_their_bytes() -> None:
    names = ["é", "z", "\U0001f600", "ﬀ", "", "Z"]
    columns = {
        MEETING: pa.array([0] * 6, pa.int32()),
        LEFT_ID: pa.array(names),
        RIGHT_ID: pa.nulls(6, pa.int64()),
        ROW_VECTOR: list_column([[1.0]] * 6),
    }
    (meeting,) = Gathering(1, "dot").meetings(iter([pa.RecordBatch.from_pydict(columns)]))
    assert meeting.left.ids.to_pylist() == sorted(names, key=str.encode)


def test_ids_are_found_among_others() -> None:
    assert places_of(pa.array([5, 2**60 + 1, 7]), pa.array([2**60, 2**60 + 1, 5])).tolist() == [2, 1, -1]
    assert places_of(pa.array(["a", "b"]), pa.array(["b"])).tolist() == [-1, 0]
    assert places_of(pa.array(["5"]), pa.array([5])).tolist() == [-1]


sizes = st.integers(min_value=0, max_value=10**9)


@given(sizes, sizes, st.integers(1, 4096), st.integers(1, 5000), st.none() | st.integers(1, 1000))
def test_every_grid_keeps_a_task_within_its_memory(left: int, right: int, d: int, cores: int, k: int | None) -> None:
    found = block_plan.two_sides(left, right, d, cores, k)
    assert found.left >= 1
    assert found.right >= 1
    assert (left / found.left + right / found.right) * d * 5 <= block_plan.MEMORY * 1.0001
    stripes = block_plan.one_side(left, d, cores)
    assert 2 * left / stripes * d * 5 <= block_plan.MEMORY * 1.0001


@pytest.mark.parametrize("cores", [2, 8, 64])
def test_a_small_join_is_one_meeting_and_a_large_one_reaches_every_core(cores: int) -> None:
    assert block_plan.two_sides(500, 500, 384, cores, 10) == Grid(1, 1)
    assert block_plan.one_side(500, 384, cores) == 1
    assert block_plan.two_sides(500_000, 500_000, 384, cores, 10).meetings >= cores
    assert block_plan.two_sides(100_000, 100_000, 384, 2, 10) == Grid(2, 1), "nothing to merge, and few copies"


@given(st.integers(min_value=1, max_value=40))
def test_stripes_of_one_table_meet_each_other_once(stripes: int) -> None:
    cut = Cut(Grid(stripes, stripes), once=True)
    starts = block_plan.diagonal(stripes)
    numbers = [starts[i] + j - i for i in range(stripes) for j in range(i, stripes)]
    assert numbers == list(range(cut.meetings))
    assert cut.alone == [starts[i] for i in range(stripes)]


def test_the_meetings_of_large_keys_follow_those_that_small_keys_share() -> None:
    plan = Plan(3, ((("en",), Cut(Grid(2, 2))), (("de",), Cut(Grid(1, 1)))), ("lang",))
    assert plan.firsts == [3, 7, 8]
    assert plan.alone == {0, 1, 2, 7}
    assert plan.merges
    assert not Plan(3, (), ("lang",)).merges


@pytest.mark.slow
def test_numbers_are_put_where_they_shall_be(spark: "SparkSession") -> None:
    from pyspark.sql import functions as sf

    values = np.array([0, 1, -1, 2**31 - 1, -(2**31), 12345], np.int32)
    df = spark.createDataFrame([(int(value),) for value in values], "value int")
    assert [row[0] for row in df.select(sf.hash("value")).collect()] == placement.hashed(values).tolist()
    numbers = placement.numbers(7)
    df = spark.createDataFrame([(number,) for number in numbers], "number int").repartition(7, "number")
    found = {row[0]: row[1] for row in df.select("number", sf.spark_partition_id()).collect()}
    assert [found[number] for number in numbers] == list(range(7))


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True], ids=["PySpark 4.1", "PySpark 3.5"])
@pytest.mark.parametrize("most", [1, 2, 100])
def test_any_number_of_tasks_holds_all_meetings(
    spark: "SparkSession", monkeypatch: pytest.MonkeyPatch, old: bool, most: int
) -> None:
    from st_spark import similarity_join
    from st_spark.join import shuffle

    monkeypatch.setattr(block_plan, "two_sides", lambda *_: Grid(3, 2))
    monkeypatch.setattr(shuffle, "_MOST_TASKS", most)
    vectors = random_vectors(0, 30, 3)
    df = frame(spark, range(30), vectors)
    if old:
        for kind in type(df).__mro__:
            if "repartitionById" in vars(kind):
                monkeypatch.delattr(kind, "repartitionById")
    made = rows(similarity_join(df, frame(spark, range(30), vectors), k=4))
    assert made == neighbours(range(30), vectors, range(30), vectors, 4, "cosine")

"""Tasks on Spark: each pair of rows is in one task, and every task runs."""

from collections import Counter
from itertools import combinations, product
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as sf

from st_spark.join import shuffle
from st_spark.join.block_plan import BlockPlan, Grid
from st_spark.join.inputs import TablePair, table_pair
from st_spark.join.options import Settings
from st_spark.join.tasks.blocks import LEFT_ID, RIGHT_ID, TASK
from tests.spark.join.tables import frame, join_blocks, neighbours, random_vectors, rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
ROWS = 12


def blocks(plan: BlockPlan, tables: TablePair) -> list[tuple[list[int], list[int]]]:
    """Return the left and the right ids of each task."""
    tasks: list[tuple[list[int], list[int]]] = [([], []) for _ in range(plan.tasks)]
    for row in plan.assign(tables).select(TASK, LEFT_ID, RIGHT_ID).collect():
        for side, name in enumerate((LEFT_ID, RIGHT_ID)):
            if row[name] is not None:
                tasks[row[TASK]][side].append(row[name])
    return tasks


@pytest.mark.parametrize("grid", [Grid(1, 1), Grid(3, 2)])
@pytest.mark.parametrize("self_join", [False, True])
def test_each_left_row_is_compared_with_each_right_row_in_one_task(
    spark: "SparkSession", grid: Grid, self_join: bool
) -> None:
    df = frame(spark, range(ROWS), random_vectors(0, ROWS, 2))
    names = dict.fromkeys(("left", "right"), ("id", "embedding"))
    tasks = blocks(BlockPlan(((0, grid),)), table_pair(df, None if self_join else df.select("*"), names))
    assert sorted(pair for left, right in tasks for pair in product(left, right)) == list(
        product(range(ROWS), repeat=2)
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_in_a_triangular_grid_each_pair_of_rows_is_in_one_task(spark: "SparkSession", count: int) -> None:
    df = frame(spark, range(ROWS), random_vectors(0, ROWS, 2))
    tables = table_pair(df, None, {"left": ("id", "embedding")})
    tasks = blocks(BlockPlan(((0, Grid(count, count, triangular=True)),)), tables)
    pairs = [{(min(pair), max(pair)) for pair in product(left, right)} for left, right in tasks]
    found = Counter(pair for task in pairs for pair in task if pair[0] != pair[1])
    assert found == Counter(combinations(range(ROWS), 2))


@pytest.fixture(params=[False, True], ids=["PySpark 4.1", "PySpark 3.5"])
def pyspark(spark: "SparkSession", request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with and without repartitionById()."""
    if request.param:
        for kind in type(spark.range(1)).__mro__:
            if "repartitionById" in vars(kind):
                monkeypatch.delattr(kind, "repartitionById")


@pytest.mark.parametrize("partitions", [1, 7])
def test_a_task_is_in_the_partition_of_its_number(spark: "SparkSession", pyspark: None, partitions: int) -> None:
    tasks = spark.range(20).select(sf.col("id").cast("int").alias(TASK))
    placed = shuffle.repartition_tasks(tasks, partitions).select(TASK, sf.spark_partition_id()).collect()
    assert {row[0]: row[1] for row in placed} == {task: task % partitions for task in range(20)}


@pytest.mark.parametrize("max_tasks", [1, 2, 100])
def test_every_task_runs_for_any_number_of_spark_tasks(spark: "SparkSession", max_tasks: int) -> None:
    vectors = random_vectors(0, 30, 3)
    settings = Settings(grid=(3, 2), max_tasks=max_tasks)
    tables = frame(spark, range(30), vectors), frame(spark, range(30), vectors)
    found = rows(join_blocks(*tables, settings, k=4))
    assert found == neighbours(range(30), vectors, range(30), vectors, 4, "cosine")

"""best_pairs(): the best rows of each query, from what the tasks have found."""

from typing import TYPE_CHECKING

import pytest

from st_spark.join.query_scan import best_pairs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("one_task", [False, True])
def test_the_lists_of_a_query_are_merged_and_one_task_needs_no_shuffle(spark: "SparkSession", one_task: bool) -> None:
    lists = [(1, [7, 8], [0.9, 0.5]), (0, [7], [0.4]), (None, None, None), (1, [3, 9], [0.9, 0.6]), (0, [2], [0.8])]
    found = spark.createDataFrame(lists, "left_id int, right_id array<bigint>, score array<double>").repartition(2)
    best = best_pairs(found, 3, one_task=one_task)
    expected = {(0, 1, 2, 0.8), (0, 2, 7, 0.4), (1, 1, 3, 0.9), (1, 2, 7, 0.9), (1, 3, 9, 0.6)}
    assert {(row["left_id"], row["rank"], row["right_id"], row["score"]) for row in best.collect()} == expected
    plan = best._jdf.queryExecution().executedPlan().toString()
    assert ("Exchange hashpartitioning(left_id" not in plan) == one_task, plan

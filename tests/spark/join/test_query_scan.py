"""scan() and best_pairs(): the best rows of each query, from what the tasks have found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as sf

from st_spark.join.query_scan import best_pairs, scan
from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.tasks.query_search import QuerySearch
from tests.spark.join.tables import random_vectors

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


def test_later_tasks_of_a_worker_return_no_rows_that_earlier_ones_beat(spark: "SparkSession") -> None:
    vector = sf.array(-sf.col("id"), sf.lit(0)).cast("array<float>").alias(VECTOR)
    rows = spark.range(0, 800, 1, 8).select(sf.col("id").alias(ID), vector)  # scores fall with the number of the task
    found = scan(rows, QuerySearch(random_vectors(1, 50, 2), 1, "dot")).where("left_id IS NOT NULL")
    assert 50 <= found.count() < 50 * 8
    assert {row["right_id"] for row in best_pairs(found, 1).collect()} == {0}


def test_a_search_that_runs_again_has_all_rows_again(spark: "SparkSession") -> None:
    def drawn(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pa.array(np.random.default_rng().random(len(batch)) < 0.5))

    vector = sf.array(sf.randn(0), sf.randn(1)).cast("array<float>").alias(VECTOR)
    rows = spark.range(0, 400, 1, 1).select(sf.col("id").alias(ID), vector)
    found = scan(rows.mapInArrow(drawn, rows.schema), QuerySearch(random_vectors(1, 50, 2), 3, "dot"))
    for _ in range(5):  # each time half of the rows are there, other ones
        assert best_pairs(found, 3).count() == 150

"""Joins over Spark Connect, in a new process: a process has a Connect client or a classic session, not both."""

import pytest

from tests.spark.join.tables import neighbours, random_vectors
from tests.support.connect import run

pytestmark = pytest.mark.slow

SCRIPT = """
import json
from pyspark.sql import SparkSession
from st_spark.join.options import Settings
from tests.spark.join.tables import frame, join_blocks, random_vectors

grid = Settings(grid=(2, 2))
spark = SparkSession.builder.remote("local[2]").getOrCreate()
left, right = (frame(spark, range(30), random_vectors(seed, 30, 3), lang=["a", "b", "c"] * 10) for seed in (0, 1))
out = {"module": type(spark).__module__}
out["two"] = [tuple(row) for row in join_blocks(left, right, grid, k=3).collect()]
out["itself"] = [tuple(row) for row in join_blocks(left, None, grid, k=3).collect()]
out["pairs"] = [tuple(row) for row in join_blocks(left, None, grid, k=None, threshold=0.9, max_pairs=434).collect()]
out["keys"] = [tuple(row) for row in join_blocks(left, right, grid, k=3, on=["lang"]).collect()]
print("RESULT" + json.dumps(out))
spark.stop()
"""


def test_connect_gives_the_same_pairs_as_local_mode() -> None:
    found = run(SCRIPT)
    made = {name: {tuple(row) for row in rows} for name, rows in found.items()}
    left, right, ids, lang = random_vectors(0, 30, 3), random_vectors(1, 30, 3), range(30), ["a", "b", "c"] * 10
    assert made["two"] == neighbours(ids, left, ids, right, 3, "cosine")
    assert made["itself"] == neighbours(ids, left, ids, left, 3, "cosine", itself=True)
    every = neighbours(ids, left, ids, left, 30, "cosine", threshold=0.9)
    assert made["pairs"] == {row[:3] for row in every if row[0] < row[1]}
    assert made["keys"] == neighbours(ids, left, ids, right, 3, "cosine", keys=(lang, lang))

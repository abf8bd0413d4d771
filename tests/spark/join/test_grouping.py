"""Groups on Spark: the same for any partitions, for ids of every type."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark.join.grouping import components, leaders
from tests.unit.join.test_components import by_spreading
from tests.unit.join.test_leaders import by_the_plain_loop

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow


def collected(found: "DataFrame") -> dict[Any, tuple[Any, int]]:
    rows = found.collect()
    assert found.columns == ["id", "group", "size"]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: (row["group"], row["size"]) for row in rows}


@pytest.mark.parametrize("kind", ["bigint", "smallint", "string"])
@pytest.mark.parametrize("partitions", [1, 5])
def test_components_match_spreading_the_smallest_id(spark: "SparkSession", kind: str, partitions: int) -> None:
    random = np.random.default_rng(3)
    numbers = random.integers(0, 400, (250, 2)).tolist()
    names: dict[str, Callable[[int], int | str]] = {
        "bigint": lambda i: i + 2**60,
        "smallint": lambda i: i - 200,
        "string": lambda i: f"é{i}",
    }
    named = names[kind]
    pairs = [(named(a), named(b)) for a, b in numbers]
    df = spark.createDataFrame(pairs, f"left_id {kind}, right_id {kind}").repartition(partitions)
    found = components(df)
    assert collected(found) == by_spreading(pairs)
    assert found.schema["group"].dataType.simpleString() == kind


def test_no_pairs_make_no_groups(spark: "SparkSession") -> None:
    none = spark.createDataFrame([], "left_id string, right_id string, score double")
    assert components(none).collect() == leaders(none).collect() == []


def test_a_long_chain_in_many_partitions_is_one_group(spark: "SparkSession") -> None:
    from pyspark.sql import functions as sf

    links = spark.range(100_000).select(sf.col("id").alias("left_id"), (sf.col("id") + 1).alias("right_id"))
    found = components(links.repartition(7)).groupBy("group", "size").count().collect()
    assert [tuple(row) for row in found] == [(0, 100_001, 100_001)]


@pytest.mark.parametrize("partitions", [1, 4])
def test_leaders_match_a_plain_loop(spark: "SparkSession", partitions: int) -> None:
    random = np.random.default_rng(5)
    scores = random.integers(0, 100, (120, 120)) / 100
    scores = np.maximum(scores, scores.T)
    expected = by_the_plain_loop(scores, 0.97)
    pairs = [(f"{a:03}", f"{b:03}", float(scores[a, b])) for a, b in np.argwhere(np.triu(scores, 1) >= 0.97)]
    df = spark.createDataFrame(pairs, "left_id string, right_id string, score double").repartition(partitions)
    found = collected(leaders(df))
    assert {key: group for key, (group, _) in found.items() if key != group} == {
        f"{row:03}": f"{leader:03}" for row, leader in expected.items()
    }
    sizes = {leader: 1 + sum(other == leader for other in expected.values()) for leader in expected.values()}
    assert {int(group): size for group, size in found.values()} == sizes

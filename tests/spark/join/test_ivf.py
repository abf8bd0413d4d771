"""method="ivf": the result reaches the wanted recall and reports its interval. Searching all lists is exact."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import st_spark
from st_spark.errors import InputError
from st_spark.join.options import Settings
from st_spark.tables.metadata import METADATA_KEY
from st_spark.topk.scores import Matrix
from tests.spark.join.tables import frame, join_blocks, neighbours, random_vectors, rows, scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

# Many partitions, also for little data.
SMALL = Settings(min_partition_bytes=1 << 13)


def clustered(n: int, seed: int, clusters: int = 60, d: int = 24, noise: float = 0.4) -> Matrix:
    middles = np.random.default_rng(99).normal(size=(clusters, d))
    random = np.random.default_rng(seed)
    return (middles[random.integers(0, clusters, n)] + noise * random.normal(size=(n, d))).astype(np.float32)


def facts(made: "DataFrame") -> dict[str, Any]:
    return dict(made.schema["score"].metadata[METADATA_KEY])


@pytest.mark.parametrize("score", ["cosine", "dot", "euclidean"])
def test_the_recall_is_reached_and_in_the_metadata(spark: "SparkSession", score: str) -> None:
    left, right = clustered(400, 0, d=16), clustered(2500, 1, d=16)
    sides = frame(spark, range(400), left), frame(spark, range(2500), right)
    made = join_blocks(*sides, SMALL, k=5, score=score, method="ivf", recall=0.9)
    found = rows(made)
    wanted = neighbours(range(400), left, range(2500), right, 5, score)
    recall = len({row[:2] for row in found} & {row[:2] for row in wanted}) / len(wanted)
    metadata = facts(made)
    assert recall > 0.87
    assert metadata["recall_low"] - 0.01 <= recall <= metadata["recall_high"] + 0.01
    assert metadata["recall_low"] <= metadata["recall"] <= metadata["recall_high"]
    assert metadata["cells"] == 2500 // 39
    assert 1 <= metadata["nprobe"] < metadata["cells"]
    assert metadata["recall_asked"] == 0.9
    assert metadata["method"] == "ivf"
    true_scores = scores(left, right, score)
    assert all(row[2] == true_scores[row[0], row[1]] for row in found)
    assert {row[0] for row in found if row[3] == 1} == set(range(400))


def test_a_day_without_rows_has_the_recipe_of_other_days(spark: "SparkSession") -> None:
    """Else its pairs could not be appended to theirs, nor theirs to its."""
    days = frame(spark, range(8), random_vectors(0, 8, 4)), frame(spark, [], random_vectors(1, 0, 4))
    right = frame(spark, range(9), random_vectors(2, 9, 4))
    made = [facts(st_spark.similarity_join(day, right, k=2, method="ivf", recall=0.9)) for day in days]
    recipes = [{name: each[name] for name in ("method", "score", "k", "recall_asked")} for each in made]
    assert recipes[0] == recipes[1] == {"method": "ivf", "score": "cosine", "k": 2, "recall_asked": 0.9}


@pytest.mark.parametrize("score", ["cosine", "dot", "euclidean"])
def test_a_recall_of_one_is_the_exact_answer(spark: "SparkSession", score: str) -> None:
    left, right = random_vectors(0, 120, 4), random_vectors(1, 700, 4)
    names = [f"n{i}" for i in range(700)]
    tables = frame(spark, range(120), left), frame(spark, names, right)
    made = join_blocks(*tables, SMALL, k=6, score=score, method="ivf", recall=1.0)
    assert rows(made) == neighbours(range(120), left, names, right, 6, score)
    metadata = facts(made)
    assert metadata["nprobe"] == metadata["cells"] > 10
    assert metadata["recall"] == 1.0


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_a_table_is_joined_with_itself_exactly_by_all_its_lists(spark: "SparkSession", score: str) -> None:
    vectors = random_vectors(2, 500, 4)
    df = frame(spark, range(500), vectors, 4)
    made = join_blocks(df, None, SMALL, k=4, score=score, method="ivf", recall=1.0, threshold=0.5)
    assert rows(made) == neighbours(range(500), vectors, range(500), vectors, 4, score, threshold=0.5, itself=True)


def test_the_answer_does_not_depend_on_partitions(
    spark: "SparkSession",
) -> None:
    vectors = clustered(2000, 3)
    made = [
        join_blocks(frame(spark, range(2000), vectors, partitions), None, SMALL, k=5, method="ivf", recall=0.8)
        for partitions in (1, 6)
    ]
    assert facts(made[0]) == facts(made[1])
    assert facts(made[0])["nprobe"] < facts(made[0])["cells"]
    assert rows(made[0]) == rows(made[1])


def test_no_row_is_dropped_if_most_are_in_one_list(spark: "SparkSession") -> None:
    settings = replace(SMALL, max_left=0.3)
    random = np.random.default_rng(4)
    same = np.repeat(random.normal(size=(1, 8)), 400, axis=0).astype(np.float32)
    vectors = np.concatenate((same, clustered(200, 5, d=8)))
    df = frame(spark, range(600), vectors)
    made = join_blocks(df, None, settings, k=3, method="ivf", recall=1.0)
    assert rows(made) == neighbours(range(600), vectors, range(600), vectors, 3, "cosine", itself=True)
    approximate = rows(join_blocks(df, None, settings, k=3, method="ivf", recall=0.5))
    assert {row[0] for row in approximate} == set(range(600))
    assert {row[1] for row in approximate if row[0] < 400 and row[0] > 3} == {0, 1, 2}


def test_keys_must_be_equal(
    spark: "SparkSession",
) -> None:
    random = np.random.default_rng(6)
    left, right = random_vectors(7, 150, 4), random_vectors(8, 400, 4)
    ours, theirs = ([*random.choice(["de", "en", "fr"], n - 1).tolist(), None] for n in (150, 400))
    sides = frame(spark, range(150), left, lang=ours), frame(spark, range(400), right, lang=theirs)
    made = join_blocks(*sides, SMALL, k=4, on=["lang"], method="ivf", recall=1.0)
    wanted = neighbours(range(150), left, range(400), right, 4, "cosine", keys=(ours, theirs))
    assert rows(made) == wanted
    near = join_blocks(*sides, SMALL, k=4, on=["lang"], method="ivf", recall=0.6)
    assert {row[:2] for row in rows(near)} <= {(i, j) for i in range(150) for j in range(400) if ours[i] == theirs[j]}


def test_rows_without_a_valid_vector_are_left_out(spark: "SparkSession") -> None:
    vectors: list[Any] = [*clustered(200, 9, d=6), None, [np.nan] * 6, [0.0] * 6, [1.0]]
    made = st_spark.similarity_join(frame(spark, range(204), vectors), k=2, method="ivf", recall=0.9)
    assert {row[0] for row in rows(made)} == set(range(200))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_small_tables_are_joined_too(spark: "SparkSession", n: int) -> None:
    left, right = random_vectors(10, n, 3), random_vectors(11, 5, 3)
    one, other = frame(spark, range(n), list(left)), frame(spark, range(5), right)
    made = st_spark.similarity_join(one, other, k=10, method="ivf")
    assert rows(made) == neighbours(range(n), left, range(5), right, 10, "cosine")
    itself = st_spark.similarity_join(one, k=10, method="ivf")
    assert rows(itself) == neighbours(range(n), left, range(n), left, 10, "cosine", itself=True)


def test_an_approximate_join_needs_k(spark: "SparkSession") -> None:
    df = frame(spark, range(3), random_vectors(12, 3, 3))
    with pytest.raises(InputError, match="method='ivf' needs k"):
        st_spark.similarity_join(df, k=None, threshold=0.5, method="ivf")

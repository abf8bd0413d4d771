"""Retrieval on all tasks: the same pairs and scores as in one task, to the last bit."""

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from st_spark.bitext.retrieval import COSINE, FORWARD, SOURCE, TARGET, Rule
from st_spark.bitext.retrieval_spark import merge_directions, one_to_one, retrieve
from st_spark.choices import CANDIDATES, MARGINS, RETRIEVALS
from tests.unit.bitext import laser
from tests.unit.bitext.test_retrieval import DATA, mine, pairs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def merged(spark: "SparkSession") -> "DataFrame":
    """Return the 3 nearest of each random row, found among all pairs in both directions."""
    similarity = laser.cosines(*DATA["random"])
    rows = [(way, i, j, float(similarity[i, j])) for i, j in np.ndindex(*similarity.shape) for way in (True, False)]
    df = spark.createDataFrame(rows, f"{FORWARD} boolean, {SOURCE} int, {TARGET} int, {COSINE} double").repartition(3)
    return merge_directions(df, 3).persist()


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_pairs_equal_the_choice_of_one_task(merged: "DataFrame", retrieval: str) -> None:
    similarity = laser.cosines(*DATA["random"])
    kinds = list(itertools.product(MARGINS, CANDIDATES))
    for margin, candidates in [kinds[RETRIEVALS.index(retrieval)], ("ratio", "best")]:
        rule = Rule(3, margin, retrieval, candidates, {"ratio": 1.02, "distance": 0.02, "absolute": 0.5}[margin])
        made, persisted = retrieve(merged, rule), []  # type: tuple[DataFrame, list[DataFrame]]
        if retrieval == "max":
            made = one_to_one(made, persisted, one_task=0)
        found = {(row[SOURCE], row[TARGET]): row["score"] for row in made.collect()}
        for each in persisted:
            each.unpersist()
        assert found == pairs(mine(similarity, rule))
        assert found


def test_one_to_one_matches_a_loop_over_the_best_first(spark: "SparkSession") -> None:
    rng = np.random.default_rng(0)
    random = {(int(i), int(j)) for i, j in rng.integers(0, 40, (400, 2))}
    rows = [(i, j, float(rng.integers(0, 30))) for i, j in sorted(random)]
    chain = [(100 + i // 2, 100 + (i + 1) // 2, 50.0 + i) for i in range(40)]  # each round takes only one of these
    df = spark.createDataFrame(rows + chain, "source_id long, target_id long, score double").repartition(3)
    want: list[tuple[int, int, float]] = []
    for i, j, score in sorted(rows + chain, key=lambda row: (-row[2], *row[:2])):
        if all(i != one and j != other for one, other, _ in want):
            want.append((i, j, score))
    for one_task in (0, 100, 10**6):
        persisted: list[DataFrame] = []
        assert sorted(map(tuple, one_to_one(df, persisted, one_task).collect())) == sorted(want)
        for each in persisted:
            each.unpersist()

"""cluster on Spark: communities as sentence-transformers finds them, and k-means."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

import st_spark
from st_spark.clustering.cluster import ClusterRequest, plan_clusters
from st_spark.errors import InputError
from tests.spark.join.tables import frame
from tests.unit.clustering.test_greedy import theirs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAN = float("nan")


def rows_of_four(count: int) -> npt.NDArray[np.float64]:
    """Return rows with 4 of 8 values: their cosines are multiples of 1/4, and many rows are equal."""
    random = np.random.default_rng(5)
    return np.array([random.permutation(np.repeat([0.0, 1.0], 4)) for _ in range(count)])


def by_cluster(df: "DataFrame") -> list[list[Any]]:
    """Return the ids of each cluster: first the representative, then the others in order."""
    found: dict[int, list[Any]] = {}
    for row in df.orderBy(df["is_representative"].desc(), "id").collect():
        if row["cluster"] is not None:
            found.setdefault(row["cluster"], []).append(row["id"])
    return [found[number] for number in range(len(found))]


def test_communities_are_those_of_sentence_transformers(spark: "SparkSession") -> None:
    matrix = rows_of_four(150)
    names = [f"{number:03}ü" for number in range(150)]
    bad = [("z1", None), ("z2", [NAN] * 8), ("z3", [0.0] * 8)]
    order = np.random.default_rng(1).permutation(150).tolist()
    ids, vectors = [names[i] for i in order], [matrix[i].tolist() for i in order]
    df = frame(spark, [*ids, *(name for name, _ in bad)], [*vectors, *(vector for _, vector in bad)])
    request = ClusterRequest("communities", threshold=0.75, min_community_size=6)
    planned = plan_clusters(df, request, id_column="id", vector="embedding")
    rows = planned.clusters.collect()
    expected = theirs(matrix, 0.75, 6)
    assert len(expected) > 5
    place = {names[row]: number for number, members in enumerate(expected) for row in members}
    assert {row["id"]: row["cluster"] for row in rows} == {name: place.get(name) for name in names}
    assert {row["id"] for row in rows if row["is_representative"]} == {names[members[0]] for members in expected}
    unit = matrix / 2
    for row in rows:
        centre = None if row["cluster"] is None else expected[row["cluster"]][0]
        assert row["score"] == (None if centre is None else unit[centre] @ unit[names.index(row["id"])])
    assert planned.stats.set_aside == {"not finite": 1, "null": 1, "zero": 1}
    assert planned.facts["copies"] == 150 - len(np.unique(matrix, axis=0))


def test_k_means_finds_blobs_whatever_the_partitions(spark: "SparkSession") -> None:
    random = np.random.default_rng(0)
    blob = np.sort(random.integers(0, 4, 200))
    matrix = 10 * np.eye(4)[blob] + random.normal(scale=0.3, size=(200, 4))
    vectors = matrix.astype(np.float32).tolist()
    found = []
    for partitions in (1, 5):
        df = frame(spark, [*range(200), 200], [*vectors, None], partitions)
        request = ClusterRequest(min_k=2, max_k=6, score="euclidean", seed=3)
        planned = plan_clusters(df, request, id_column="id", vector="embedding")
        found.append(sorted(planned.clusters.collect()))
    assert found[0] == found[1]
    assert planned.facts["k"] == 4
    assert list(planned.facts["silhouettes"]) == [2, 3, 4, 5, 6]
    sizes = np.bincount(blob)
    order = np.argsort(-sizes, kind="stable")  # the largest first
    assert [row["cluster"] for row in found[0]] == np.argsort(order)[blob].tolist()
    for of in order:
        members = np.flatnonzero(blob == of)
        distances = np.linalg.norm(matrix[members] - matrix[members].mean(axis=0), axis=1)
        rows = [found[0][row] for row in members]
        np.testing.assert_allclose([-row["score"] for row in rows], distances, rtol=1e-4)
        assert [row["id"] for row in rows if row["is_representative"]] == [members[distances.argmin()]]
    with pytest.raises(
        InputError, match=r"k is 201, and the table has 200 rows with a vector\. Fix: give k of at most"
    ):
        st_spark.cluster(df, k=201)

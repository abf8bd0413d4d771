"""near_duplicates gives the same groups as comparing every pair in float64."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

import st_spark
from st_spark.choices import LINKAGES
from st_spark.errors import InputError
from st_spark.join.near_duplicates import near_duplicates
from st_spark.topk.scores import exact_scores
from tests.unit.join.test_components import by_spreading
from tests.unit.join.test_leaders import by_the_plain_loop

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow
Matrix = npt.NDArray[np.float32]
NAN = float("nan")
COLUMNS = ["id", "group", "size", "representative", "score"]


def clustered(seed: int, rows: int = 160, dimension: int = 12) -> Matrix:
    """Return vectors around few centers; one row in four is a copy of another."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(rows // 8, dimension))
    made = centers[random.integers(0, len(centers), rows)] + random.normal(scale=0.3, size=(rows, dimension))
    copied = random.integers(0, rows, rows // 4)
    made[copied] = made[random.permutation(copied)]
    return made.astype(np.float32)


def all_scores(matrix: Matrix, score: str) -> npt.NDArray[np.float64]:
    return np.array([exact_scores(np.repeat([row], len(matrix), axis=0), matrix, score) for row in matrix]) + 0.0


def expected_groups(scores: npt.NDArray[np.float64], threshold: float, linkage: str) -> dict[int, int]:
    """Return the group of each row."""
    places = range(len(scores))
    if linkage == "leader":
        return {i: by_the_plain_loop(scores, threshold).get(i, i) for i in places}
    pairs = [(int(a), int(b)) for a, b in np.argwhere(np.triu(scores >= threshold, 1))]
    found = by_spreading(pairs)
    return {i: found[i][0] if i in found else i for i in places}


def table(spark: "SparkSession", ids: list[Any], matrix: Matrix, partitions: int = 3) -> "DataFrame":
    kind = "string" if isinstance(ids[0], str) else "bigint"
    order = np.random.default_rng(0).permutation(len(ids)).tolist()
    rows = [(ids[i], matrix[i].tolist()) for i in order]
    return spark.createDataFrame(rows, f"id {kind}, embedding array<float>").repartition(partitions)


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize(("score", "threshold"), [("cosine", 0.93), ("euclidean", -1.2), ("dot", 13.0)])
def test_groups_match_comparing_every_pair(spark: "SparkSession", linkage: str, score: str, threshold: float) -> None:
    matrix = clustered(7)
    names: Callable[[int], Any] = (lambda i: i + 2**53) if score == "cosine" else (lambda i: f"{i:03}ü")
    scores = all_scores(matrix, score)
    expected = expected_groups(scores, threshold, linkage)
    sizes = {group: list(expected.values()).count(group) for group in expected.values()}
    assert len(sizes) < len(expected) < sum(size > 1 for size in sizes.values()) + len(expected)
    df = table(spark, [names(i) for i in range(len(matrix))], matrix)
    found = near_duplicates(df, threshold, score=score, linkage=linkage)
    assert found.columns == COLUMNS
    assert sorted(map(tuple, found.collect())) == [
        (names(i), names(group), sizes[group], i == group, scores[i, group]) for i, group in sorted(expected.items())
    ]


@pytest.mark.parametrize("linkage", LINKAGES)
def test_neither_partitions_nor_the_order_of_rows_matter(spark: "SparkSession", linkage: str) -> None:
    matrix = clustered(11)
    ids = np.random.default_rng(2).permutation(len(matrix)).tolist()
    one, seven = (near_duplicates(table(spark, ids, matrix, n), 0.93, linkage=linkage).collect() for n in (1, 7))
    assert sorted(one) == sorted(seven)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_an_approximate_join_that_searches_all_lists_gives_the_exact_groups(
    spark: "SparkSession", linkage: str
) -> None:
    df = table(spark, [f"{i}" for i in range(160)], clustered(13))
    exact = near_duplicates(df, 0.93, linkage=linkage)
    likely = near_duplicates(df, 0.93, linkage=linkage, method="ivf", recall=1.0)
    assert sorted(likely.collect()) == sorted(exact.collect())
    assert likely.schema["score"].metadata["st_spark"]["recall"] == 1.0


def test_copies_of_one_row_are_not_compared_with_each_other(spark: "SparkSession") -> None:
    from pyspark.sql import functions as sf

    vector = sf.array(sf.lit(1.0), (sf.col("id") % 2).cast("double"), sf.lit(0.5))
    df = spark.range(3_000).withColumn("embedding", vector)
    for linkage in LINKAGES:
        found = near_duplicates(df, 0.99, linkage=linkage, max_pairs=1).groupBy("group", "size", "score").count()
        assert sorted(map(tuple, found.collect())) == [(0, 1_500, 1.0, 1_500), (1, 1_500, 1.0, 1_500)]


def test_a_chain_is_one_group_by_components_and_several_by_leaders(spark: "SparkSession") -> None:
    angles = np.deg2rad(np.arange(0, 50, 10))
    df = table(spark, ["a", "b", "c", "d", "e"], np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32))
    cut = float(np.cos(np.deg2rad(11)))
    groups = {
        linkage: "".join(row["group"] for row in near_duplicates(df, cut, linkage=linkage).orderBy("id").collect())
        for linkage in LINKAGES
    }
    assert groups == {"components": "aaaaa", "leader": "aacce"}


UNUSUAL: list[tuple[int | None, list[float | None] | None]] = [
    (1, [1.0, 0.0]),
    (2, [1.0, 0.0]),
    (3, [0.0, 0.0]),
    (4, [NAN, 1.0]),
    (5, [float("inf"), 1.0]),
    (6, None),
    (7, [1.0, 0.0, 0.0]),
    (8, []),
    (9, [1.0, None]),
    (None, [1.0, 0.0]),
    (10, [0.0, 1.0]),
]


@pytest.mark.parametrize("linkage", LINKAGES)
def test_rows_without_an_id_or_a_valid_vector_are_left_out(spark: "SparkSession", linkage: str) -> None:
    df = spark.createDataFrame(UNUSUAL, "id int, embedding array<double>")
    found = near_duplicates(df, 0.9, linkage=linkage).orderBy("id")
    assert [tuple(row) for row in found.collect()] == [
        (1, 1, 2, True, 1.0),
        (2, 1, 2, False, 1.0),
        (10, 10, 1, True, 1.0),
    ]
    assert found.schema["group"].dataType.simpleString() == "int"
    kept = near_duplicates(df, 0.0, score="euclidean", linkage=linkage).select("id").collect()
    assert sorted(row["id"] for row in kept) == [1, 2, 3, 10]


@pytest.mark.parametrize("linkage", LINKAGES)
def test_rows_of_different_keys_are_in_different_groups(spark: "SparkSession", linkage: str) -> None:
    near, other = [1.0, 0.001], [1.0, 0.0]
    rows = [(1, "en", near), (2, "de", near), (3, "en", other), (4, None, near), (5, None, near), (6, "de", near)]
    df = spark.createDataFrame(rows, "n bigint, `the lang` string, v array<float>")
    found = near_duplicates(df, 0.9, id="n", vector="v", on=["the lang"], linkage=linkage).orderBy("id").collect()
    assert [row["group"] for row in found] == [1, 2, 1, 4, 5, 2]


def test_no_rows_and_no_pairs_are_no_error(spark: "SparkSession") -> None:
    none = spark.createDataFrame([], "id bigint, embedding array<float>")
    assert near_duplicates(none).collect() == []
    apart = spark.createDataFrame([(1, [1.0, 0.0]), (2, [0.0, 1.0])], "id bigint, embedding array<float>")
    for linkage in LINKAGES:
        assert [row["size"] for row in near_duplicates(apart, linkage=linkage).collect()] == [1, 1]


def test_wrong_columns_and_options_are_rejected(spark: "SparkSession") -> None:
    df = spark.createDataFrame([(1, [1.0]), (1, [2.0])], "id bigint, embedding array<float>")
    with pytest.raises(InputError, match=r"Duplicate ids in the table: 1\."):
        near_duplicates(df)
    with pytest.raises(InputError, match="linkage='ward' is unknown"):
        near_duplicates(df, linkage="ward")
    with pytest.raises(InputError, match="no column 'doc'"):
        near_duplicates(df, id="doc")
    pairs = spark.range(100).selectExpr("id", "array(1.0D, id / 1000) as embedding")
    with pytest.raises(InputError, match="max_pairs"):
        near_duplicates(pairs, linkage="leader", max_pairs=1_000)
    assert [row["size"] for row in near_duplicates(pairs, max_pairs=1_000).collect()] == [100] * 100


def test_the_metadata_of_the_score_column_describes_the_groups(spark: "SparkSession") -> None:
    df = spark.createDataFrame([(1, [1.0])], "id bigint, embedding array<float>")
    metadata = st_spark.near_duplicates(df, 0.8).schema["score"].metadata["st_spark"]
    assert metadata == {"method": "exact", "score": "cosine", "threshold": 0.8, "linkage": "components"}

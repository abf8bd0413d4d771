"""Joins and searches read vectors of every kind: bytes, bits, doubles, pyspark.ml vectors and lists of a fixed size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors

import st_spark
from st_spark.errors import InputError
from st_spark.join.input_stats import collect_stats
from st_spark.join.inputs import table_pair
from st_spark.join.options import Settings
from st_spark.tables.metadata import column_metadata
from tests.spark.join.tables import frame, join_blocks, neighbours, random_vectors, rows, scores
from tests.spark.stored_tables import KINDS, floats_of, is_bits, stored

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

# 11 dimensions: the last byte of bits is not full.
ROWS, OTHERS = random_vectors(0, 50, 11), random_vectors(1, 40, 11)
IDS, NAMES = [2**53 + 50 - i for i in range(50)], [f"ö{i}" for i in range(40)]
GRID = Settings(grid=(3, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_joins_equal_float64_also_of_two_kinds(spark: "SparkSession", kind: str, tmp_path: Path) -> None:
    df, floats = stored(spark, IDS, ROWS, kind, tmp_path), floats_of(ROWS, kind)
    right, score = frame(spark, NAMES, OTHERS), "cosine" if is_bits(kind) else "euclidean"
    expected = neighbours(IDS, floats, NAMES, OTHERS, 5, score)
    assert rows(join_blocks(df, right, GRID, k=5, score=score)) == expected
    swapped = neighbours(NAMES, OTHERS, IDS, floats, 3, "cosine")
    assert rows(join_blocks(right, df, GRID, k=3)) == swapped
    itself = neighbours(IDS, floats, IDS, floats, 4, "cosine", itself=True)
    assert rows(join_blocks(df, None, GRID, k=4)) == itself


@pytest.mark.parametrize(("left", "right"), [("int8", "ubinary"), ("binary", "binary"), ("uint8", "double")])
def test_tables_of_two_precisions_are_joined(spark: "SparkSession", left: str, right: str) -> None:
    """Bits have another number of stored values than bytes."""
    one, other = stored(spark, IDS, ROWS, left), stored(spark, NAMES, OTHERS, right)
    expected = neighbours(IDS, floats_of(ROWS, left), NAMES, floats_of(OTHERS, right), 5, "cosine")
    assert rows(join_blocks(one, other, GRID, k=5)) == expected


def test_the_score_of_bits_counts_the_bits_that_differ(spark: "SparkSession") -> None:
    """It is 1 - 2 * Hamming distance / dimensions, in joins and in searches."""
    one, other = stored(spark, IDS, ROWS, "binary"), stored(spark, NAMES, OTHERS, "ubinary")
    differ = ((ROWS > 0)[:, None, :] != (OTHERS > 0)[None, :, :]).sum(axis=2)
    wanted = {(i, j): 1 - 2 * differ[a, b] / 11 for a, i in enumerate(IDS) for b, j in enumerate(NAMES)}
    joined = st_spark.similarity_join(one, other, k=40).collect()
    assert {(row["left_id"], row["right_id"]): row["score"] for row in joined} == pytest.approx(wanted, abs=1e-12)
    found = st_spark.search(one, other, 40, columns=["id"]).collect()
    assert {(row["query_id"], row["id"]): row["score"] for row in found} == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_searches_equal_float64(spark: "SparkSession", kind: str, tmp_path: Path) -> None:
    """The queries are floats, or of the kind of the table."""
    df, floats = stored(spark, IDS, ROWS, kind, tmp_path), floats_of(ROWS, kind)
    for queries, asked in ((frame(spark, NAMES, OTHERS), OTHERS), (df, floats)):
        ids = NAMES if asked is OTHERS else IDS
        found = st_spark.search(queries, df, 5, columns=["id"]).collect()
        made = {(row["query_id"], row["id"], row["score"], row["rank"]) for row in found}
        assert made == neighbours(ids, asked, IDS, floats, 5, "cosine")


def test_new_rows_of_floats_are_compared_with_earlier_rows_of_bytes(spark: "SparkSession") -> None:
    earlier, floats = stored(spark, IDS, ROWS, "int8"), floats_of(ROWS, "int8")
    new = frame(spark, [1, 2], [floats[7] * 2, -floats[7]])
    found = {row["id"]: row["group"] for row in st_spark.near_duplicates(new, 0.99, against=earlier).collect()}
    assert found == {1: IDS[7], 2: 2}


@pytest.mark.parametrize(
    ("kind", "bad"),
    [("int8", [None, [1] * 10, [1] * 10 + [None]]), ("ubinary", [None, [1], [1, None]])],
)
def test_rows_that_cannot_be_read_are_counted(spark: "SparkSession", kind: str, bad: list[Any]) -> None:
    good = stored(spark, IDS, ROWS, kind)
    rest = spark.createDataFrame(list(enumerate(bad)), good.schema)
    df = good.unionByName(rest).withMetadata("embedding", good.schema["embedding"].metadata)
    stats = collect_stats(table_pair(df, None, {"left": ("id", "embedding")}), "cosine")
    assert (stats.left.rows, stats.left.dimension) == (53, 11)
    assert stats.left.set_aside == {"null": 1, "dimension": 1, "not finite": 1}
    assert st_spark.near_duplicates(df, 0.99).count() == 50


def test_bytes_that_are_read_as_zeros_have_no_cosine(spark: "SparkSession") -> None:
    made: dict[str, Any] = {"precision": "int8"}
    df = spark.createDataFrame([(1, [-128, -128]), (2, [-128, 5])], "id bigint, embedding array<tinyint>")
    for high, zeros in ((1.0, {}), (0.0, {"zero": 2})):  # the middle of a step is not 0
        made["ranges"] = {"low": [0.0, 0.0], "high": [0.0, high]}
        table = df.withMetadata("embedding", column_metadata(made))
        stats = collect_stats(table_pair(table, None, {"left": ("id", "embedding")}), "cosine")
        assert stats.left.set_aside == zeros


def test_sparse_vectors_of_another_size_are_set_aside(spark: "SparkSession") -> None:
    vectors = [Vectors.dense([1.0, 2.0]), Vectors.sparse(2, [1], [3.0]), Vectors.sparse(3, [0, 2], [1.0, 1.0]), None]
    df = spark.createDataFrame(list(enumerate(vectors)), ["id", "embedding"])
    stats = collect_stats(table_pair(df, None, {"left": ("id", "embedding")}), "cosine")
    assert (stats.left.dimension, stats.left.set_aside) == (2, {"dimension": 1, "null": 1})
    (pair,) = st_spark.similarity_join(df, k=None, threshold=-1.0).collect()
    assert (pair["left_id"], pair["right_id"]) == (0, 1)
    assert pair["score"] == pytest.approx(scores(np.array([[1.0, 2.0]]), np.array([[0.0, 3.0]]), "cosine")[0, 0])


@pytest.mark.parametrize("score", ["dot", "euclidean"])
def test_bits_are_compared_by_cosine_alone(spark: "SparkSession", score: str) -> None:
    bits, floats = stored(spark, IDS, ROWS, "binary"), frame(spark, NAMES, OTHERS)
    message = f"The vectors of .* are binary, which {score} cannot compare.* Fix: choose the score cosine"
    calls: list[Any] = [
        lambda: st_spark.similarity_join(bits, floats, score=score),
        lambda: st_spark.similarity_join(floats, bits, score=score),
        lambda: st_spark.near_duplicates(bits, -0.5, score=score),
        lambda: st_spark.cluster(bits, k=2, score=score),
        lambda: st_spark.search(floats, bits, score=score),
        lambda: st_spark.search(bits, floats, score=score),
    ]
    for call in calls:
        with pytest.raises(InputError, match=message):
            call()


def test_tables_of_two_models_are_refused_in_any_precision(spark: "SparkSession") -> None:
    one = stored(spark, IDS, ROWS, "int8", model="a", content="1")
    other = stored(spark, NAMES, OTHERS, "float32", model="b", content="2")
    with pytest.raises(InputError, match=r"embedded with a \(content 1\), the right table with b \(content 2\)"):
        st_spark.similarity_join(one, other)
    with pytest.raises(InputError, match="Their vectors cannot be compared"):
        st_spark.search(other, one)

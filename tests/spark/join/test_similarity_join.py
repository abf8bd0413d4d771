"""similarity_join: the result of brute force in float64, for any partitions and any grid."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import st_spark
from st_spark.choices import SCORES
from st_spark.errors import InputError
from st_spark.join.block_plan import Grid, plan_blocks
from st_spark.join.input_stats import collect_stats
from st_spark.join.inputs import table_pair
from st_spark.join.options import Request, Settings
from st_spark.join.similarity_join import plan_join
from st_spark.tables.metadata import METADATA_KEY
from tests.spark.join.tables import byte_order, frame, join_blocks, neighbours, random_vectors, rows, scores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

BIG = 2**53
NAMES = [*"abcXYZ", "", " ", "é", "ß", "ab", "日本", "\U0001f600", "z"]


ID_AND_VECTOR = {"left": ("id", "embedding")}


@pytest.fixture(params=[(1, 1), (3, 2)], ids=["one task", "3 x 2"])
def grid(request: pytest.FixtureRequest) -> Settings:
    """A grid of several blocks, which a table this small would not get."""
    return Settings(grid=request.param)


@pytest.mark.parametrize("score", ["cosine", "dot", "euclidean"])
def test_top_k_matches_float64(spark: "SparkSession", grid: Settings, score: str) -> None:
    left, right = random_vectors(0, 70, 4), random_vectors(1, 60, 4)
    left_ids, right_ids = [BIG + 2 - i for i in range(70)], [BIG - 30 + i for i in range(60)]
    tables = frame(spark, left_ids, left, 3), frame(spark, right_ids, right, 4)
    made = join_blocks(*tables, grid, k=5, score=score)
    assert made.columns == ["left_id", "right_id", "score", "rank"]
    assert rows(made) == neighbours(left_ids, left, right_ids, right, 5, score)


def test_a_table_is_joined_with_itself(spark: "SparkSession", grid: Settings) -> None:
    names = [f"{name}{i}" for i in range(5) for name in NAMES]
    vectors = random_vectors(2, len(names), 3)
    df = frame(spark, names, vectors, 5)
    expected = neighbours(names, vectors, names, vectors, 7, "cosine", itself=True)
    assert rows(join_blocks(df, None, grid, k=7)) == expected
    assert rows(join_blocks(df, df, grid, k=7)) == expected


def test_pairs_above_a_threshold_come_once(spark: "SparkSession", grid: Settings) -> None:
    names = [f"{name}{i}" for i in range(5) for name in NAMES]
    vectors = random_vectors(3, len(names), 3)
    table = scores(vectors, vectors, "cosine")
    expected = {
        (one, other, float(table[i, j]))
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if byte_order(one) < byte_order(other) and table[i, j] >= 0.8
    }
    assert rows(join_blocks(frame(spark, names, vectors, 2), None, grid, k=None, threshold=0.8)) == expected


def test_pairs_of_two_tables_above_a_threshold(spark: "SparkSession", grid: Settings) -> None:
    left, right = random_vectors(4, 50, 3), random_vectors(5, 40, 3)
    names = [str(i) for i in range(40)]
    tables = frame(spark, range(50), left), frame(spark, names, right)
    made = join_blocks(*tables, grid, k=None, threshold=-1.5, score="euclidean")
    every = neighbours(range(50), left, names, right, 40, "euclidean", threshold=-1.5)
    assert rows(made) == {row[:3] for row in every}


def test_top_k_with_a_threshold_matches_float64(spark: "SparkSession", grid: Settings) -> None:
    left, right = random_vectors(6, 40, 3), random_vectors(7, 30, 3)
    tables = frame(spark, range(40), left), frame(spark, range(30), right)
    made = join_blocks(*tables, grid, k=4, threshold=3.0, score="dot")
    assert rows(made) == neighbours(range(40), left, range(30), right, 4, "dot", threshold=3.0)


@pytest.mark.parametrize("rows_held", [10**9, 40], ids=["small keys", "large keys"])
@pytest.mark.parametrize("itself", [False, True], ids=["two tables", "itself"])
@pytest.mark.parametrize("k", [3, None])
def test_rows_are_compared_within_equal_keys(
    spark: "SparkSession", rows_held: int, itself: bool, k: int | None
) -> None:
    settings = Settings(grid=(3, 2), task_bytes=rows_held * 5 * 3)
    rng = np.random.default_rng(8)
    languages = [None if i % 20 == 0 else str(rng.choice(["de", "en", "en", "en", "fr"])) for i in range(100)]
    vectors, ids = random_vectors(9, 100, 3), list(range(100))
    df = frame(spark, ids, vectors, lang=languages)
    other = None if itself else frame(spark, ids[::-1], vectors[::-1], 2, lang=languages[::-1])
    made = rows(join_blocks(df, other, settings, k=k, threshold=0.5, on=["lang"]))
    every: set[Any] = neighbours(
        ids, vectors, ids, vectors, k or 100, "cosine", threshold=0.5, itself=itself, keys=(languages, languages)
    )
    if k is None:
        every = {row[:3] for row in every if not itself or row[0] < row[1]}
    assert made == every


def test_several_keys_must_all_be_equal(spark: "SparkSession") -> None:
    vectors = random_vectors(10, 60, 3)
    one, two = [str(i % 2) for i in range(60)], [str(i % 3) for i in range(60)]
    both = [a + b for a, b in zip(one, two, strict=True)]
    df = frame(spark, range(60), vectors, one=one, two=two)
    expected = neighbours(range(60), vectors, range(60), vectors, 3, "cosine", itself=True, keys=(both, both))
    assert rows(st_spark.similarity_join(df, k=3, on=["one", "two"])) == expected


def test_a_row_gets_no_more_neighbours_than_there_are(spark: "SparkSession") -> None:
    vectors = random_vectors(11, 4, 3)
    few = frame(spark, range(4), vectors)
    empty = few.where("id < 0")
    assert st_spark.similarity_join(few, few.where("id < 2"), k=9).count() == 4 * 2
    assert st_spark.similarity_join(few, k=9).count() == 4 * 3
    assert st_spark.similarity_join(few.where("id = 1"), k=9).count() == 0
    assert st_spark.similarity_join(few, empty).count() == 0
    assert st_spark.similarity_join(empty, few).count() == 0
    assert st_spark.similarity_join(empty).count() == 0
    assert st_spark.similarity_join(empty, few, k=None, threshold=0.1).count() == 0
    assert st_spark.similarity_join(empty, k=None, threshold=0.1).count() == 0
    for other in (empty.withColumn("lang", few.id), None):
        assert st_spark.similarity_join(few.where("id < 0").withColumn("lang", few.id), other, on=["lang"]).count() == 0


def test_rows_that_cannot_be_joined_are_left_out_and_counted(spark: "SparkSession") -> None:
    nan, inf = float("nan"), float("inf")
    vectors = [[1, 2], [2, 1], None, [1], [], [nan, 1], [inf, 1], [0, 0], [1, 1], [1, 1], [3, 1, 1]]
    ids = [*range(9), None, 10]
    languages = [None, *["en"] * 10]
    df = frame(spark, ids, vectors, lang=languages)
    done = plan_join(table_pair(df, None, ID_AND_VECTOR, ["lang"]), Request(k=3))
    assert done.stats.left.rows == 11
    reasons = {"dimension": 3, "not finite": 2, "null": 1, "null id": 1, "null key": 1, "zero": 1}
    assert done.stats.left.set_aside == reasons
    assert done.stats.left.kept == 2
    assert {row[:2] for row in rows(done.pairs)} == {(1, 8), (8, 1)}
    unkeyed = plan_join(table_pair(df, None, ID_AND_VECTOR), Request(k=1, score="dot"))
    assert unkeyed.stats.left.set_aside == {"dimension": 3, "not finite": 2, "null": 1, "null id": 1}
    assert {row[0] for row in rows(unkeyed.pairs)} == {0, 1, 7, 8}


@pytest.mark.parametrize("score", SCORES)
def test_spark_and_python_find_the_same_valid_vectors(spark: "SparkSession", score: str) -> None:
    """Spark checks arrays of floats by their length, which float32 may not hold; Python checks arrays of doubles."""
    vectors: list[list[float | None] | None] = [[1.0, 2.0], [1e30, 1e30], [1e-30, 0.0], [3e38, 3e38], [0.0, -0.0], None]
    vectors += [[], [1.0], [float("nan"), 1.0], [1.0, float("-inf")], [None, 1.0], [1.0, 2.0], [None, None]]
    df = spark.createDataFrame([*enumerate(vectors)], "id bigint, embedding array<float>")
    stats = collect_stats(table_pair(df, None, ID_AND_VECTOR), score)
    assert (stats.left.set_aside["null"], stats.left.set_aside["not finite"]) == (1, 4)
    doubles = df.withColumn("embedding", df.embedding.cast("array<double>"))
    assert collect_stats(table_pair(doubles, None, ID_AND_VECTOR), score) == stats


def test_ids_keep_their_types_and_doubles_their_digits(spark: "SparkSession") -> None:
    near = 1 + 1e-12
    left = spark.createDataFrame([(1, [1.0, 1.0])], "key smallint, v array<double>")
    right = spark.createDataFrame([("a", [1.0, 1.0]), ("b", [1.0, near])], "name string, w array<double>")
    options: dict[str, Any] = {"left_id": "key", "right_id": "name", "left_vector": "v", "right_vector": "w"}
    made = st_spark.similarity_join(left, right, score="dot", **options)
    assert [field.dataType.simpleString() for field in made.schema] == ["smallint", "string", "double", "int"]
    assert rows(made) == {(1, "b", 1 + near, 1), (1, "a", 2.0, 2)}


def test_floats_and_doubles_are_compared_as_doubles(spark: "SparkSession") -> None:
    left = spark.createDataFrame([(1, [1.0, 0.1])], "id long, embedding array<double>")
    right = frame(spark, [5, 6], [[1, 0.1], [1, 0.2]])
    expected = [1 + 0.1 * float(np.float32(0.2)), 1 + 0.1 * float(np.float32(0.1))]
    for one, other in ((left, right), (right, left)):
        found = st_spark.similarity_join(one, other, score="dot").orderBy("score", ascending=False).collect()
        assert [row.score for row in found] == expected


def test_equal_rows_tie_at_a_plain_zero(spark: "SparkSession") -> None:
    df = frame(spark, [3, 1, 2], [[1, 2]] * 3)
    made = st_spark.similarity_join(df, k=1, score="euclidean").collect()
    assert sorted((row.left_id, row.right_id, str(row.score)) for row in made) == [
        (1, 2, "0.0"),
        (2, 1, "0.0"),
        (3, 1, "0.0"),
    ]


def test_the_metadata_of_the_score_column_describes_the_join(spark: "SparkSession") -> None:
    made = st_spark.similarity_join(frame(spark, range(3), random_vectors(12, 3, 2)), k=2)
    assert made.schema["score"].metadata[METADATA_KEY] == {"method": "exact", "score": "cosine", "k": 2}


def test_too_many_pairs_are_rejected_or_reduced_to_the_best(spark: "SparkSession", grid: Settings) -> None:
    vectors = random_vectors(13, 60, 3)
    df = frame(spark, range(60), vectors)
    every = {(*sorted(row[:2]), row[2]) for row in neighbours(range(60), vectors, range(60), vectors, 60, "dot")}
    count = len([1 for one, other, score in every if one < other and score >= 2])
    with pytest.raises(InputError, match=f"About {count:,} pairs have a dot score of 2 or more; max_pairs is 120"):
        join_blocks(df, None, grid, k=None, threshold=2, score="dot", max_pairs=120)
    made = join_blocks(df, None, grid, k=None, threshold=2, score="dot", max_pairs=120, overflow="best")
    best = neighbours(range(60), vectors, range(60), vectors, 2, "dot", threshold=2, itself=True)
    assert rows(made) == {(*sorted(row[:2]), row[2]) for row in best}
    other = frame(spark, range(60), vectors)
    made = join_blocks(df, other, grid, k=None, threshold=2, score="dot", max_pairs=120, overflow="best")
    best = neighbours(range(60), vectors, range(60), vectors, 2, "dot", threshold=2)
    assert rows(made) == {row[:3] for row in best}


def test_the_number_of_pairs_within_keys_is_estimated(spark: "SparkSession") -> None:
    df = frame(spark, range(60), random_vectors(14, 60, 3), lang=[str(i % 6) for i in range(60)])
    with pytest.raises(InputError, match="About 270 pairs"):
        st_spark.similarity_join(df, k=None, threshold=-1, max_pairs=100, on=["lang"])
    assert st_spark.similarity_join(df, k=None, threshold=-1, max_pairs=600, on=["lang"]).count() == 270


def test_columns_and_options_that_cannot_work_are_rejected_before_any_job(spark: "SparkSession") -> None:
    df = frame(spark, [1, 2], [[1, 2], [2, 1]])
    with pytest.raises(InputError, match="Neither k nor a threshold"):
        st_spark.similarity_join(df, k=None)
    with pytest.raises(InputError, match="the left table has no column 'ID'"):
        st_spark.similarity_join(df, left_id="ID")
    with pytest.raises(InputError, match="The key 'id' holds bigint in the left table and string in the right one"):
        st_spark.similarity_join(df, frame(spark, ["a"], [[1, 2]]), on=["id"])


def test_duplicate_ids_are_rejected_by_name(spark: "SparkSession") -> None:
    twice = frame(spark, [1, 7, 7, 5, 5, 3], random_vectors(15, 6, 2))
    once = frame(spark, range(6), random_vectors(15, 6, 2))
    with pytest.raises(InputError, match="Duplicate ids in the left table: 5, 7"):
        st_spark.similarity_join(twice)
    with pytest.raises(InputError, match="Duplicate ids in the right table: 5, 7"):
        st_spark.similarity_join(once, twice)


def test_vectors_of_different_sizes_are_rejected(spark: "SparkSession") -> None:
    two, three = frame(spark, range(3), random_vectors(16, 3, 2)), frame(spark, range(3), random_vectors(16, 3, 3))
    with pytest.raises(InputError, match="The vectors of the left table have 2 values, of the right table 3"):
        st_spark.similarity_join(two, three)


def test_only_keys_of_much_work_get_a_grid(spark: "SparkSession") -> None:
    languages = ["en"] * 40 + ["de"] * 20
    df = frame(spark, range(60), random_vectors(17, 60, 3), lang=languages)
    tables = table_pair(df, None, ID_AND_VECTOR, ["lang"]).joinable()
    settings = Settings(grid=(4, 2), task_bytes=50 * 3 * 5)
    plan, comparisons = plan_blocks(tables, collect_stats(tables, "cosine"), 1, settings)
    assert [grid for _, grid in plan.grids] == [Grid(4, 2)]
    assert plan.first_tasks == [1, 9]
    assert comparisons == 40 * 40 + 20 * 20


def each_pair_as_text(left: Any, right: Any, found: Any) -> Any:
    import pyarrow as pa

    for pairs in found:
        names = zip(
            left.take(pa.array(pairs.left)).to_pylist(), right.take(pa.array(pairs.right)).to_pylist(), strict=True
        )
        yield pa.RecordBatch.from_pydict({"pair": ["-".join(map(str, sorted(name))) for name in names]})


def test_a_reducer_makes_other_rows_from_the_pairs_of_each_task(spark: "SparkSession", grid: Settings) -> None:
    from pyspark.sql.types import StringType, StructField, StructType

    df = frame(spark, range(60), random_vectors(18, 60, 3))
    request = Request(k=None, threshold=0.9, max_pairs=1, settings=grid)
    made = plan_join(
        table_pair(df, None, ID_AND_VECTOR), request, each_pair_as_text, StructType([StructField("pair", StringType())])
    )
    pairs = rows(st_spark.similarity_join(df, k=None, threshold=0.9))
    assert {row[0] for row in rows(made.pairs)} == {f"{one}-{other}" for one, other, _ in pairs}

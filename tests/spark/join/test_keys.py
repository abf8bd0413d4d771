"""Keys of every type join the rows that they join as plain integers."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from st_spark.join.near_duplicates import near_duplicates
from st_spark.join.options import Settings
from tests.spark.join.tables import frame, join_blocks, neighbours, random_vectors, rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

# For each type the values of some keys in SQL, and integers that are equal where Spark says that the values are.
# Daylight saving time ends in New York in the night of 3 November 2024: 05:30 and 06:30 UTC are both 01:30 there.
KEYS: dict[str, tuple[list[str], list[int]]] = {
    "timestamp": ([f"timestamp_micros({1730610000000000 + i * 1800000000})" for i in range(4)], [0, 1, 2, 3]),
    "time without zone": ([f"timestamp_ntz'2024-11-03 01:30:00.00000{i}'" for i in range(3)], [0, 1, 2]),
    "years that Python lacks": ([f"timestamp_micros(56897182080000000{i})" for i in range(3)], [0, 1, 2]),
    "dates that Python lacks": ([f"date_add(date'9999-12-31', {i})" for i in range(3)], [0, 1, 2]),
    "decimal": ([f"cast('1234567890123456789.00000000000000000{i}' as decimal(38, 18))" for i in range(3)], [0, 1, 2]),
    "double": (["double('-0.0')", "double('0.0')", "double('NaN')", "double('NaN')", "1e-300D"], [0, 0, 1, 1, 2]),
    "binary": (["X'00'", "X''", "X'C3'"], [0, 1, 2]),
    "text that is not UTF-8": (["cast(X'C3' as string)", "cast(X'C4' as string)"], [0, 1]),
    "struct": (
        [f"named_struct('a', {a}, 'b', {b})" for a, b in (("1D", "null"), ("null", "1D"), ("0D", "1D"), ("-0D", "1D"))],
        [0, 1, 2, 2],
    ),
    "collation without case": ([f"'{key}' collate UTF8_LCASE" for key in ("a", "A", "b", "ä", "Ä")], [0, 0, 1, 2, 2]),
    "collation without accents": ([f"'{key}' collate UNICODE_CI_AI" for key in ("a", "Ä", "b")], [0, 0, 1]),
}


@pytest.fixture
def new_york(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Spark and Python be in New York."""
    zone = str(spark.conf.get("spark.sql.session.timeZone"))
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    spark.conf.set("spark.sql.session.timeZone", zone)
    monkeypatch.undo()
    time.tzset()


def with_key(df: "DataFrame", values: list[str]) -> "DataFrame":
    """Add the value of number id % (the number of values) as the column key; null for every tenth row."""
    whens = " ".join(f"when id % {len(values)} = {place} then {value}" for place, value in enumerate(values))
    return df.selectExpr("*", f"case when id % 10 = 9 then null {whens} end as key")


@pytest.mark.parametrize(
    ("name", "method"),
    [*((name, "large keys") for name in KEYS), ("timestamp", "small keys"), ("timestamp", "ivf")],
)
def test_rows_are_joined_as_by_integers(spark: "SparkSession", new_york: None, name: str, method: str) -> None:
    values, integers = KEYS[name]
    if "collat" in name and spark.version < "4":
        pytest.skip("this Spark has no collations")
    keys = [None if i % 10 == 9 else integers[i % len(values)] for i in range(60)]
    left, right = random_vectors(0, 60, 3), random_vectors(1, 60, 3)
    one, other = (with_key(frame(spark, range(60), vectors, 1), values) for vectors in (left, right))
    settings = Settings(grid=(3, 2), task_bytes=(5 if method == "large keys" else 10**6) * 3 * 5)
    options: dict[str, Any] = {"method": "ivf", "recall": 1.0} if method == "ivf" else {}
    found = rows(join_blocks(one, other, settings, ["key"], k=4, **options))
    assert found == neighbours(range(60), left, range(60), right, 4, "cosine", keys=(keys, keys))


@pytest.mark.parametrize("name", ["timestamp", "struct"])
def test_duplicates_are_grouped_as_by_integers(spark: "SparkSession", new_york: None, name: str) -> None:
    values, integers = KEYS[name]
    df = with_key(frame(spark, range(40), random_vectors(2, 40, 3)), values)
    number = " ".join(f"when id % {len(values)} = {place} then {value}" for place, value in enumerate(integers))
    plain = df.selectExpr("id", "embedding", f"case when key is not null then case {number} end end as key")
    found, expected = (near_duplicates(each, 0.95, on=["key"]).collect() for each in (df, plain))
    assert sorted(found) == sorted(expected)


def test_a_collation_does_not_make_ids_equal(spark: "SparkSession") -> None:
    if spark.version < "4":
        pytest.skip("this Spark has no collations")
    df = frame(spark, ["a", "A", "b"], [[1, 0], [1, 0], [0, 1]], 1)
    collated = df.withColumn("id", df.id.cast("string collate UTF8_LCASE"))
    found = near_duplicates(collated).select("id", "group", "size").collect()
    assert sorted(map(tuple, found)) == [("A", "A", 2), ("a", "A", 2), ("b", "b", 1)]
    assert rows(join_blocks(collated, None, Settings(grid=(2, 2)), k=1)) == {
        ("a", "A", 1.0, 1),
        ("A", "a", 1.0, 1),
        ("b", "A", 0.0, 1),
    }

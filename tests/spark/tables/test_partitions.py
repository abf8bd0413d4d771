"""Partitions: a job makes them, and replaces only the ones that its rows have."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as sf

from st_spark.errors import InputError, TableError
from st_spark.tables import io
from st_spark.tables.output import open_output
from st_spark.tables.partitions import check_partition_columns, check_spelling

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow
SCHEMA = "id bigint, score string, day date, place string"
KEYS = ("day", "place")
# Values that the names of folders must keep.
OLD = [
    *((1, "1", "2026-11-25", "a"), (2, "2", "2026-11-25", "b c"), (3, "3", "2026-11-26", "a/b=c%20")),
    *((4, "4", None, "a"), (5, "5", "2026-11-26", None), (6, "6", "2026-11-26", "01067")),
]
NEW = [(13, "x", "2026-11-26", "a/b=c%20"), (14, "y", None, "a"), (15, "z", "2026-11-27", "ü"), (16, "u", None, None)]
MERGED = [*(row for row in OLD if row[0] not in (3, 4)), *NEW]


@pytest.fixture
def warehouse(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """A session with a database `rooms`, which is dropped at the end."""
    spark.sql(f"CREATE DATABASE rooms LOCATION '{tmp_path_factory.mktemp('rooms')}'")
    yield spark
    spark.sql("DROP DATABASE rooms CASCADE")


def frame(spark: "SparkSession", rows: list[tuple[Any, ...]]) -> "DataFrame":
    lines = [json.dumps(dict(zip(("id", "score", "day", "place"), row, strict=True))) for row in rows]
    values = ", ".join("('" + line.replace("\\", "\\\\").replace("'", "\\'") + "')" for line in lines)
    return spark.sql(f"SELECT from_json(line, '{SCHEMA}') AS row FROM VALUES {values} AS lines(line)").select("row.*")


def save(
    df: "DataFrame", where: str, mode: str, table_format: str | None = None, keys: tuple[str, ...] = KEYS
) -> dict[str, int]:
    """Write rows as a job does."""
    with open_output(df.sparkSession, where, table_format, mode, (), keys) as writer:
        counts = writer.count_partitions(writer.fit(df, "input"), "input")
        writer.check(df.schema, "score")
        writer.write(df, df.count)
        return counts


def stored(spark: "SparkSession", where: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table, with partition columns as text."""
    text = [sf.col(name).cast("string").alias(name) for name in KEYS]
    return sorted(map(tuple, io.read(spark, where).select("id", "score", *text).collect()))


@pytest.mark.parametrize("table_format", ["parquet", "table"])
def test_an_overwrite_replaces_the_partitions_of_the_new_rows(
    warehouse: "SparkSession", tmp_path: Path, table_format: str
) -> None:
    where = "rooms.t" if table_format == "table" else str(tmp_path / "out")
    assert save(frame(warehouse, OLD), where, "overwrite", table_format) == {}
    assert stored(warehouse, where) == OLD
    counts = save(frame(warehouse, NEW), where, "overwrite")
    assert counts == {"replaced": 2, "added": 2, "kept": 4}
    assert stored(warehouse, where) == sorted(MERGED)
    assert save(frame(warehouse, NEW).limit(0), where, "overwrite") == {"replaced": 0, "added": 0, "kept": 8}
    assert stored(warehouse, where) == sorted(MERGED)
    found = warehouse.table(where) if table_format == "table" else warehouse.read.parquet(where)
    assert [row["id"] for row in found.where("day = '2026-11-26' AND place = 'a/b=c%20'").collect()] == [13]
    # Without partition_by the whole table is replaced, and stays partitioned.
    save(frame(warehouse, NEW), where, "overwrite", keys=())
    assert stored(warehouse, where) == sorted(NEW)
    assert save(frame(warehouse, NEW[:1]), where, "overwrite")["kept"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * (table_format == "parquet")


def test_a_crash_between_the_partitions_of_a_catalog_table_is_undone(
    warehouse: "SparkSession", monkeypatch: pytest.MonkeyPatch
) -> None:
    from st_spark.tables.catalog import CatalogTable

    def crash_for_good(_: CatalogTable) -> None:
        patched.setattr(CatalogTable, "recover", crash)  # as if the process were gone
        raise KeyboardInterrupt

    save(frame(warehouse, OLD), "rooms.t", "overwrite", "table")
    with monkeypatch.context() as patched:
        patched.setattr(CatalogTable, "find_partitions", crash_for_good)
        with pytest.raises(KeyboardInterrupt):
            save(frame(warehouse, NEW), "rooms.t", "overwrite")
    folder = warehouse.sql("DESCRIBE TABLE EXTENDED rooms.t").where("col_name = 'Location'").collect()[0][1]
    assert Path(folder.removeprefix("file:")).with_name(".t.st-spark-swap").exists()
    assert save(frame(warehouse, NEW[2:3]), "rooms.t", "overwrite") == {"replaced": 0, "added": 1, "kept": 6}
    assert stored(warehouse, "rooms.t") == sorted([*OLD, NEW[2]])


def crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_partition_of_a_catalog_table_can_be_empty_and_cannot_lie_elsewhere(
    warehouse: "SparkSession", tmp_path: Path
) -> None:
    save(frame(warehouse, OLD[:2]), "rooms.t", "overwrite", "table")
    warehouse.sql("ALTER TABLE rooms.t ADD PARTITION (day = '2026-11-28', place = 'a b')")
    save(frame(warehouse, OLD[:1]), "rooms.t", "overwrite")
    save(frame(warehouse, NEW[:1]), str(tmp_path / "other"), "error", keys=())
    elsewhere = f"PARTITION (day = '2026-11-29', place = 'x') LOCATION '{tmp_path}/other'"
    warehouse.sql(f"ALTER TABLE rooms.t ADD {elsewhere}")
    with pytest.raises(TableError, match=r"rooms.t has a partition in .*/other, which is not in the folder"):
        save(frame(warehouse, OLD[:1]), "rooms.t", "overwrite")


def test_a_job_cannot_change_the_partition_columns_of_a_table(spark: "SparkSession", tmp_path: Path) -> None:
    out, plain = str(tmp_path / "out"), str(tmp_path / "plain")
    save(frame(spark, OLD), out, "error")
    save(frame(spark, OLD), plain, "error", keys=())
    for mode in ("overwrite", "append"):
        with pytest.raises(TableError, match="is partitioned by day, place; this job is to partition it by day"):
            save(frame(spark, NEW), out, mode, keys=("day",))
        with pytest.raises(TableError, match="plain has no partitions"):
            save(frame(spark, NEW), plain, mode)
    with pytest.raises(TableError, match="the columns differ: score"):
        save(frame(spark, NEW).withColumn("score", sf.lit(1)), out, "overwrite")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("'' AS k", "has an empty text in the partition column 'k'"),
        ("array(1) AS k", "cannot be partitioned by 'k': it holds array<int>"),
        ("X'00' AS k", "cannot be partitioned by 'k': it holds binary"),
        ("1 AS kk", "has no column 'k'"),
    ],
)
def test_columns_that_cannot_be_partitions(spark: "SparkSession", column: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_partition_columns(spark.sql(f"SELECT {column}"), ("k",), "in")


def test_a_partition_that_is_no_value_of_the_new_type(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    spark.sql("SELECT 1L AS id, '1' AS score, 'a b' AS k").write.partitionBy("k").parquet(out)
    message = r"has the partition k=a b, and in the new rows 'k' is int\. Fix: cast 'k' to string"
    with pytest.raises(TableError, match=message):
        save(spark.sql("SELECT 1L AS id, '1' AS score, 2 AS k"), out, "overwrite", keys=("k",))
    assert spark.read.parquet(out).count() == 1


def test_a_folder_that_spark_would_spell_in_another_way(spark: "SparkSession") -> None:
    schema = spark.sql("SELECT 1 AS month, '01' AS day").schema
    check_spelling("out", ["month=0/day=01", "month=11", "month=__HIVE_DEFAULT_PARTITION__"], schema)
    with pytest.raises(TableError, match="out has the partition month=01, which this job would write as month=1"):
        check_spelling("out", ["month=01/day=01"], schema)

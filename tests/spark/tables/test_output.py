"""Outputs on a real Spark: modes, partitions, catalog tables, and what is refused before the work."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.errors import BusyError, PlatformError, TableError
from st_spark.spark.filesystem import ArrowFiles, Files, HadoopFiles
from st_spark.tables import io
from st_spark.tables.metadata import column_metadata
from st_spark.tables.output import open_output

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture
def warehouse(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """A session with a database `house`, which is dropped at the end."""
    spark.sql(f"CREATE DATABASE house LOCATION '{tmp_path_factory.mktemp('house')}'")
    yield spark
    spark.sql("DROP DATABASE house CASCADE")


@pytest.fixture(scope="module")
def nest(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the table nest/raw; a link to nest; a catalog table and a view of nest/raw."""
    folder = tmp_path_factory.mktemp("nest")
    numbers(spark, 0, 3).write.parquet(f"{folder}/nest/raw")
    (folder / "link").symlink_to(folder / "nest")
    spark.sql(f"CREATE TABLE nested_table USING parquet LOCATION '{folder}/nest/raw'")
    spark.read.parquet(f"{folder}/nest/raw").createOrReplaceTempView("a_view")
    yield folder
    spark.sql("DROP TABLE nested_table")
    spark.catalog.dropTempView("a_view")


def rows(df: "DataFrame") -> list[tuple[object, ...]]:
    return sorted(map(tuple, df.collect()), key=str)


def numbers(spark: "SparkSession", first: int, last: int) -> "DataFrame":
    return spark.range(first, last).selectExpr("id", "id % 2 as k", "cast(id as string) as score")


def save(
    df: "DataFrame", where: str, mode: str = "error", table_format: str | None = None, inputs: tuple[str, ...] = ()
) -> None:
    """Write rows as a job does."""
    named = [(each, None) for each in inputs]
    with open_output(df.sparkSession, where, table_format, mode, named) as writer:
        writer.check(df.schema, "score")
        writer.write(df, df.count)


def ids(spark: "SparkSession", where: str, table_format: str | None = None) -> list[int]:
    return sorted(row["id"] for row in io.read(spark, where, table_format).select("id").collect())


def tables(spark: "SparkSession") -> list[str]:
    found = spark.sql("SHOW TABLES IN house").collect()
    return [table["tableName"] for table in found if not table["isTemporary"]]


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("table_format", ["parquet", "table"])
def test_modes_create_append_and_overwrite(warehouse: "SparkSession", tmp_path: Path, table_format: str) -> None:
    where = "house.t" if table_format == "table" else str(tmp_path / "out")
    save(numbers(warehouse, 0, 3), where, "append", table_format)
    with pytest.raises(TableError, match=f"The output {where} exists"):
        save(numbers(warehouse, 0, 3), where, "error", table_format)
    save(numbers(warehouse, 3, 5), where, "append")  # the format is found
    assert ids(warehouse, where) == [0, 1, 2, 3, 4]
    save(numbers(warehouse, 7, 9).withColumnRenamed("k", "other"), where, "overwrite")
    assert rows(io.read(warehouse, where)) == [(7, 1, "7"), (8, 0, "8")]
    changed = io.read(warehouse, where).selectExpr("id + 1 as id", "other", "score")
    save(changed, where, "overwrite", inputs=(where,))  # its own rows
    assert ids(warehouse, where) == [8, 9]
    assert hidden(tmp_path) == []
    assert tables(warehouse) == ["t"] * (table_format == "table")


@pytest.mark.parametrize("keys", [("k",), ("k", "a b")])
def test_rows_are_appended_to_the_partitions_of_a_folder(
    spark: "SparkSession", tmp_path: Path, keys: tuple[str, ...]
) -> None:
    out = str(tmp_path / "out")
    first, second = (numbers(spark, *span).selectExpr("*", "id % 3 as `a b`") for span in ((0, 4), (4, 20)))
    first.write.partitionBy(*keys).parquet(out)
    save(second, out, "append")
    assert ids(spark, out) == list(range(20))
    assert ids(spark, f"{out}/k=1") == list(range(1, 20, 2))
    save(second.limit(0), out, "append")
    assert len(ids(spark, out)) == 20


def test_a_folder_with_files_in_partitions_and_beside_them_takes_no_append(
    spark: "SparkSession", tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    numbers(spark, 0, 4).write.partitionBy("k").parquet(out)
    numbers(spark, 0, 4).write.mode("append").parquet(out)
    with pytest.raises(TableError, match="some files lie in folders of k, others do not"):
        save(numbers(spark, 0, 4), out, "append")


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_a_write_that_fails_leaves_the_old_table_and_no_files(spark: "SparkSession", tmp_path: Path, mode: str) -> None:
    out = str(tmp_path / "out")
    save(numbers(spark, 0, 3), out)
    failing = numbers(spark, 0, 1000).selectExpr("if(id = 700, raise_error('stop'), id) as id", "k", "score")
    with pytest.raises(Exception, match="stop"):
        save(failing, out, mode)
    with (
        pytest.raises(PlatformError, match=r"5 of 6 rows were written .* The old table is unchanged"),
        open_output(spark, out, None, mode) as writer,
    ):
        writer.write(numbers(spark, 0, 5), lambda: 6)
    assert ids(spark, out) == [0, 1, 2]
    assert hidden(tmp_path) == []


def plain_file(path: Path) -> None:
    path.write_text("precious", encoding="utf-8")


def other_folder(path: Path) -> None:
    (path / "raw").mkdir(parents=True)
    (path / "raw" / "x").touch()


def notes_beside_data(path: Path) -> None:
    path.mkdir()
    for name in ("part-0.parquet", "a.txt", "b.txt", "c.txt", "d.txt"):
        (path / name).touch()


def stream(path: Path) -> None:
    (path / "_spark_metadata").mkdir(parents=True)
    (path / "_spark_metadata" / "0").touch()


def delta(path: Path) -> None:
    (path / "_delta_log").mkdir(parents=True)
    (path / "_delta_log" / f"{0:020}.json").touch()


@pytest.mark.parametrize("mode", ["overwrite", "append"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (plain_file, "is no table: it holds a file"),
        (other_folder, "is no table: it holds raw"),
        (notes_beside_data, r"is no table: it holds a\.txt, b\.txt, c\.txt and 1 more"),
        (stream, "it holds _spark_metadata"),
        (delta, "holds a table in the format delta, not parquet"),
    ],
)
def test_what_is_no_parquet_table_is_never_touched(
    spark: "SparkSession", tmp_path: Path, make: Callable[[Path], None], message: str, mode: str
) -> None:
    out = tmp_path / "out"
    make(out)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TableError, match=message):
        save(numbers(spark, 0, 3), str(out), mode, "parquet")
    with pytest.raises(TableError, match=r"The output .* exists"):
        save(numbers(spark, 0, 3), str(out), "error", "parquet")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_no_table(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    save(numbers(spark, 0, 3), str(tmp_path / "out"))
    assert ids(spark, str(tmp_path / "out")) == [0, 1, 2]


def test_a_link_stays_a_link(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for first in (0, 3):
        save(numbers(spark, first, first + 3), str(tmp_path / "link"), "overwrite")
    assert (tmp_path / "link").is_symlink()
    assert ids(spark, str(tmp_path / "disk")) == [3, 4, 5]


@pytest.mark.parametrize(
    ("output", "source", "message"),
    [
        ("nest", "nest/raw", "contains the input"),
        ("nest/raw/out", "nest/raw", "lies inside the input"),
        ("nest/", "file:{tmp}/nest/raw", "contains the input"),
        ("file:{tmp}/nest", "nest/raw/../raw", "contains the input"),
        ("link", "nest/raw", "contains the input"),
        ("nest", "link/raw", "contains the input"),
        ("nest", "*/raw", "contains the input"),
        ("nest/raw/out", "nest/r*", "lies inside the input"),
        ("nest", "nest/*", "contains the input"),
        ("nest", "nest/raw/part-*.parquet", "contains the input"),
        ("{tmp}", "nested_table", "contains the input"),
        ("nest", "a_view", "contains the input"),
    ],
)
def test_an_output_is_never_around_or_inside_an_input(
    spark: "SparkSession", nest: Path, output: str, source: str, message: str
) -> None:
    names = {"a_view", "nested_table", "{tmp}", "file:{tmp}/nest", "file:{tmp}/nest/raw"}
    where, read = (
        (text if text in names else f"{{tmp}}/{text}").replace("{tmp}", str(nest)) for text in (output, source)
    )
    with pytest.raises(TableError, match=message):
        save(numbers(spark, 3, 6), where, "overwrite", inputs=(read,))
    assert [path.name for path in nest.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("output", "source"), [("nest", "nest"), ("nest2", "nest"), ("out", "n*"), ("nest", "n*")])
def test_an_output_may_be_an_input_or_lie_beside_it(
    spark: "SparkSession", tmp_path: Path, output: str, source: str
) -> None:
    numbers(spark, 0, 3).write.parquet(str(tmp_path / "nest"))
    save(numbers(spark, 3, 6), str(tmp_path / output), "overwrite", inputs=(str(tmp_path / source),))
    assert ids(spark, str(tmp_path / output)) == [3, 4, 5]


def test_a_second_job_stops_before_its_work(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with open_output(spark, out, None, "overwrite") as writer:
        with pytest.raises(BusyError, match=r"Another job writes .*: application local-"):
            save(numbers(spark, 5, 9), f"{tmp_path}/./out/", "overwrite")
        writer.write(numbers(spark, 0, 3), lambda: 3)
    assert ids(spark, out) == [0, 1, 2]


def test_a_place_that_cannot_be_written_is_one_line_before_the_work(spark: "SparkSession") -> None:
    with pytest.raises(TableError, match="Cannot write /proc/none/out: "):
        save(numbers(spark, 0, 3), "/proc/none/out")


# A catalog table: how it is made, and what DESCRIBE says of it.
PARTITIONED = "CREATE TABLE {} (id LONG, score STRING, k LONG) USING {} PARTITIONED BY (k) COMMENT 'it''s' "
PARTITIONED += "TBLPROPERTIES ('team' = 'we \\\\ us')"
BUCKETED = "CREATE TABLE {} (id LONG, k LONG, score STRING) USING {} CLUSTERED BY (id) SORTED BY (k) INTO 2 BUCKETS"


def kept(spark: "SparkSession", name: str) -> dict[str, str]:
    facts = {row[0]: row[1] for row in spark.sql(f"DESCRIBE TABLE EXTENDED {name}").collect()}
    facts |= {row[0]: row[1] for row in spark.sql(f"SHOW TBLPROPERTIES {name}").collect()}
    names = (
        "Provider",
        "Type",
        "Comment",
        "team",
        "Num Buckets",
        "Bucket Columns",
        "Sort Columns",
        "# Partition Information",
    )
    return {key: facts[key] for key in names if key in facts}


@pytest.mark.parametrize(
    ("make", "provider", "name"),
    [
        (PARTITIONED, "parquet", "house.t"),
        (PARTITIONED, "orc", "spark_catalog.house.t"),
        (BUCKETED, "parquet", "`house`.`t`"),
    ],
)
def test_a_catalog_table_stays_what_it_is(warehouse: "SparkSession", make: str, provider: str, name: str) -> None:
    warehouse.sql(make.format(name, provider))
    before = kept(warehouse, name)
    save(numbers(warehouse, 0, 4), name, "append")
    save(numbers(warehouse, 4, 6), name, "append", "table")
    assert ids(warehouse, name) == [0, 1, 2, 3, 4, 5]
    assert sorted(row["id"] for row in warehouse.table(name).where("k = 1 and score > '1'").collect()) == [3, 5]
    warehouse.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('st_spark.run.job' = '1')")
    for first in (10, 20):
        save(numbers(warehouse, first, first + 3), name, "overwrite")
        assert ids(warehouse, name) == [first, first + 1, first + 2]
        assert ids(warehouse, name) == sorted(row["id"] for row in warehouse.table(name).where("k in (0, 1)").collect())
        assert kept(warehouse, name) == before
    assert warehouse.sql(f"SHOW TBLPROPERTIES {name}").where("key = 'st_spark.run.job'").isEmpty()  # of other rows
    save(numbers(warehouse, 30, 32), name, "append")
    assert ids(warehouse, name) == [20, 21, 22, 30, 31]
    assert tables(warehouse) == ["t"]


def test_a_table_that_is_overwritten_needs_its_partition_columns(warehouse: "SparkSession") -> None:
    warehouse.sql(PARTITIONED.format("house.t", "parquet"))
    with pytest.raises(TableError, match="partitioned or bucketed by 'k', and the new rows have no such column"):
        save(numbers(warehouse, 0, 3).drop("k"), "house.t", "overwrite")


def test_an_external_table_is_appended_to_and_not_overwritten(warehouse: "SparkSession", tmp_path: Path) -> None:
    make = PARTITIONED.format("house.t", "parquet")
    warehouse.sql(f"{make} LOCATION '{tmp_path}/t'")
    save(numbers(warehouse, 0, 3), "house.t", "append")
    assert ids(warehouse, "house.t") == [0, 1, 2]
    with pytest.raises(TableError, match="is an external table of the format parquet, which cannot be overwritten"):
        save(numbers(warehouse, 3, 6), "house.t", "overwrite")
    assert ids(warehouse, "house.t") == [0, 1, 2]


def test_a_view_is_no_output(warehouse: "SparkSession") -> None:
    warehouse.sql("CREATE VIEW house.v AS SELECT 1 AS id")
    numbers(warehouse, 0, 3).createOrReplaceTempView("temporary")
    for name in ("house.v", "temporary"):
        with pytest.raises(TableError, match=f"{name} is a view"):
            save(numbers(warehouse, 0, 3), name, "overwrite")


def test_a_column_called_provider_is_not_the_provider(warehouse: "SparkSession") -> None:
    df = numbers(warehouse, 0, 3).withColumnRenamed("k", "Provider")
    for mode in ("error", "append", "overwrite"):
        save(df, "house.t", mode, "table")
    assert ids(warehouse, "house.t") == [0, 1, 2]


@pytest.mark.parametrize("where", ["/a/path", "a-b", "a.b.c.d"])
def test_a_path_is_not_a_valid_name_of_a_catalog_table(spark: "SparkSession", where: str) -> None:
    with pytest.raises(TableError, match="is not a valid name of a catalog table"):
        save(numbers(spark, 0, 3), where, "error", "table")


def test_a_name_that_the_catalog_refuses_is_an_error_before_the_work(warehouse: "SparkSession") -> None:
    with (
        pytest.raises(TableError, match=r"Cannot write house\.`my pairs`: .*INVALID_SCHEMA_OR_RELATION_NAME"),
        open_output(warehouse, "house.`my pairs`", "table", "error"),
    ):
        pytest.fail("the job has begun")


def test_rows_made_in_another_way_are_refused(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    first, second = (
        numbers(spark, 0, 3).withMetadata("score", column_metadata({"method": "exact", "k": k})) for k in (1, 2)
    )
    save(first, out)
    save(first, out, "append")
    with pytest.raises(TableError, match="was made with k 1; this job uses k 2"):
        save(second, out, "append")


@pytest.mark.parametrize("scheme", ["s3a", "s3"])
def test_a_path_without_its_file_system_is_one_line_with_the_jars(spark: "SparkSession", scheme: str) -> None:
    message = rf"Spark cannot open {scheme}://b/out\S*: it has no file system for {scheme}\. Fix: .*hadoop-aws:3\.\d+"
    with pytest.raises(PlatformError, match=message):
        save(numbers(spark, 0, 3), f"{scheme}://b/out")
    with pytest.raises(PlatformError, match=message):
        io.read(spark, f"{scheme}://b/out")


class FarFiles(HadoopFiles):
    """Hadoop's own calls for local files, as they run for HDFS and object stores."""

    def _local(self, path: str) -> Path | None:
        return None


@pytest.mark.parametrize("kind", [HadoopFiles, FarFiles, ArrowFiles])
def test_hadoop_and_arrow_file_systems_do_the_same(
    spark: "SparkSession", tmp_path: Path, kind: type[HadoopFiles] | type[ArrowFiles]
) -> None:
    files: Files = ArrowFiles() if kind is ArrowFiles else kind(spark)  # type: ignore[call-arg]
    folder = f"file://{tmp_path}/a folder/in é"
    files.make(folder)
    assert files.create(f"{folder}/x", "é\n")
    assert not files.create(f"{folder}/x", "other")
    assert files.read(f"{folder}/x") == "é\n"
    files.write(f"{folder}/x", "new")
    assert files.read(f"{folder}/x") == "new"
    assert 0 <= files.age(f"{folder}/x") < 60
    files.make(f"{folder}/y")
    names = {name: is_folder for name, is_folder in files.entries(folder).items() if name[0] != "."}
    assert names == {"x": False, "y": True}
    assert [files.is_folder(f"{folder}/{name}") for name in ("x", "y", "z")] == [False, True, False]
    assert [Path(path).name for path in files.glob(f"{tmp_path}/a*/in é/[xy]")] == ["x", "y"]
    assert files.absolute(f"{tmp_path}/b/../a folder/").rstrip("/") == f"file:{tmp_path}/a folder"
    files.move(folder, f"{tmp_path}/moved")
    assert not files.exists(folder)
    assert files.exists(f"{tmp_path}/moved/x")
    files.make(folder)
    with pytest.raises(OSError, match="could not rename"):
        files.move(f"{tmp_path}/moved", folder)
    with pytest.raises(Exception, match="nowhere"):
        files.move(f"{tmp_path}/nowhere", f"{tmp_path}/there")
    files.delete(f"{tmp_path}/moved")
    files.delete(f"{tmp_path}/moved")
    assert not files.exists(f"{tmp_path}/moved")

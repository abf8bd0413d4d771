"""Tables: every format in and out, odd rows and wrong names, and writes that are all or nothing."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.errors import InputError, TableError
from st_spark.spark.filesystem import ArrowFiles, Files, HadoopFiles
from st_spark.tables import io
from st_spark.tables.columns import CORRUPT, FACTS, check_columns, vector_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow


def rows(df: "DataFrame") -> list[tuple[object, ...]]:
    return sorted(map(tuple, df.collect()), key=str)


def text_file(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def numbers(spark: "SparkSession", first: int, last: int) -> "DataFrame":
    return spark.range(first, last).selectExpr("id", "cast(id as string) as text")


def test_a_csv_has_a_header_quoted_lines_and_strings_only(spark: "SparkSession", tmp_path: Path) -> None:
    path = text_file(tmp_path / "in.csv", 'id,text\n007,"a ""quoted"" one\nwith, two lines"\n2,\n3,""\n')
    df = io.read(spark, path)
    assert rows(df.drop(CORRUPT)) == [("007", 'a "quoted" one\nwith, two lines'), ("2", None), ("3", "")]
    assert df.where(f"{CORRUPT} is not null").collect() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.csv", "id,text\n1,sound\n2,one,too many\n3,also sound\n4\n"),
        ("in.jsonl", '{"id": 1, "text": "sound"}\n{"id": 2, "text": \n{"id": 3, "text": "also sound"}\nnonsense\n'),
    ],
)
def test_a_row_that_cannot_be_read_is_marked_and_the_others_stay(
    spark: "SparkSession", tmp_path: Path, name: str, text: str
) -> None:
    df = io.read(spark, text_file(tmp_path / name, text))
    sound, corrupt = df.where(f"{CORRUPT} is null"), df.where(f"{CORRUPT} is not null")
    assert [row["text"] for row in sound.collect()] == ["sound", "also sound"]
    assert len(corrupt.collect()) == 2


def test_json_lines_keep_their_types(spark: "SparkSession", tmp_path: Path) -> None:
    path = text_file(tmp_path / "in.json", "".join(json.dumps({"id": i, "text": f"t{i}"}) + "\n" for i in range(3)))
    assert io.read(spark, path).schema["id"].dataType.simpleString() == "bigint"


def test_the_format_is_told_from_the_name_or_what_lies_there(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "docs.parquet" / "_delta_log").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    found = {
        name: io.find_format(spark, str(tmp_path / name)) for name in ("docs.parquet", "plain", "a.CSV", "b.csv.gz")
    }
    assert found == {"docs.parquet": "delta", "plain": "parquet", "a.CSV": "csv", "b.csv.gz": "csv"}
    names = ("db.no_docs", "no_docs", "texts.jsonl", "s3a.parquet")
    assert [io.find_format(spark, name) for name in names] == ["table", "table", "json", "parquet"]


@pytest.mark.parametrize("where", ["/no/such/place", "/no/such.csv", "/no/such.jsonl", "no_db.no_table", "no_table"])
def test_no_such_path_and_no_such_table(spark: "SparkSession", where: str) -> None:
    with pytest.raises(TableError, match=f"There is no (path|table) {where}"):
        io.read(spark, where)


def test_a_file_of_another_format_is_named(spark: "SparkSession", tmp_path: Path) -> None:
    path = text_file(tmp_path / "in.parquet", "this is no parquet")
    with pytest.raises(TableError, match=r"cannot be read as parquet: .*CANNOT_READ_FILE_FOOTER"):
        io.read(spark, path)


def test_a_delta_table_without_delta_in_the_session_names_the_cure(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(TableError, match=r"--packages io\.delta"):
        io.read(spark, str(tmp_path))


def test_a_missing_column_is_named_with_the_close_one(spark: "SparkSession") -> None:
    with pytest.raises(InputError, match=r"docs has no column 'txt'. Fix: the table has id, text; did you mean 'text'"):
        check_columns(numbers(spark, 0, 1).schema, "docs", ("txt",))


def test_a_column_that_holds_no_strings_is_refused(spark: "SparkSession") -> None:
    with pytest.raises(InputError, match="no string column but bigint"):
        check_columns(numbers(spark, 0, 1).schema, "docs", ("id",))


@pytest.mark.parametrize("table_format", ["parquet", "table"])
def test_the_three_modes(spark: "SparkSession", tmp_path: Path, table_format: str) -> None:
    where = "modes_test" if table_format == "table" else str(tmp_path / "out")
    try:
        assert not io.prepare(spark, where, table_format)
        io.write(numbers(spark, 0, 3), where, table_format, "error")
        assert io.prepare(spark, where, table_format)
        io.write(numbers(spark, 3, 5), where, table_format, "append")
        assert rows(io.read(spark, where, table_format)) == [(i, str(i)) for i in range(5)]
        io.write(numbers(spark, 7, 9), where, table_format, "overwrite")
        assert rows(io.read(spark, where, table_format)) == [(7, "7"), (8, "8")]
        assert not list(tmp_path.glob(".out*"))
        names = [table.name for table in spark.catalog.listTables() if not table.isTemporary]
        assert names == ["modes_test"] * (table_format == "table")
    finally:
        spark.sql("DROP TABLE IF EXISTS modes_test")


@pytest.mark.parametrize("table_format", ["parquet", "table"])
def test_a_table_may_be_overwritten_by_what_is_read_from_it(
    spark: "SparkSession", tmp_path: Path, table_format: str
) -> None:
    where = "self_test" if table_format == "table" else str(tmp_path / "out")
    try:
        io.write(numbers(spark, 0, 100), where, table_format, "error")
        changed = io.read(spark, where, table_format).selectExpr("id + 1 as id", "text")
        io.write(changed, where, table_format, "overwrite")
        assert rows(io.read(spark, where, table_format)) == sorted(((i + 1, str(i)) for i in range(100)), key=str)
    finally:
        spark.sql("DROP TABLE IF EXISTS self_test")


def test_a_path_is_no_catalog_table(spark: "SparkSession", tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is no name of a catalog table"):
        io.prepare(spark, str(tmp_path), "table")


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_a_write_that_fails_half_way_leaves_the_old_table(spark: "SparkSession", tmp_path: Path, mode: str) -> None:
    out = str(tmp_path / "out")
    io.write(numbers(spark, 0, 3), out, "parquet", "error")
    failing = numbers(spark, 0, 1000).repartition(4).selectExpr("if(id = 700, raise_error('stop'), id) as id", "text")
    with pytest.raises(Exception, match="stop"):
        io.write(failing, out, "parquet", mode)
    assert rows(io.read(spark, out)) == [(0, "0"), (1, "1"), (2, "2")]
    assert io.prepare(spark, out, "parquet")
    io.write(numbers(spark, 3, 4), out, "parquet", mode)
    assert len(rows(io.read(spark, out))) == (4 if mode == "append" else 1)


def test_an_append_of_other_columns_is_refused(spark: "SparkSession", tmp_path: Path) -> None:
    io.write(embedded(spark, content="a"), str(tmp_path / "out"), "parquet", "error")
    other = embedded(spark, content="a").selectExpr("id as key", "embedding")
    with pytest.raises(TableError, match=r"other columns: id \(int there, none here\), key \(none there, int here\)"):
        io.check_append(spark, other.schema, str(tmp_path / "out"), "parquet", "embedding")


def test_an_append_of_vectors_made_otherwise_is_refused(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    io.write(embedded(spark, content="a", prompt="query: "), out, "parquet", "error")
    io.check_append(spark, embedded(spark, content="a", prompt="query: ").schema, out, "parquet", "embedding")
    with pytest.raises(TableError, match="prompt is 'query: ' there, None here"):
        io.check_append(spark, embedded(spark, content="a").schema, out, "parquet", "embedding")
    with pytest.raises(TableError, match="content is 'a' there, 'b' here"):
        io.check_append(spark, embedded(spark, content="b").schema, out, "parquet", "embedding")


def test_how_vectors_were_made_is_read_back(spark: "SparkSession", tmp_path: Path) -> None:
    io.write(embedded(spark, model="m", dim=2), str(tmp_path / "out"), "parquet", "error")
    schema = io.read(spark, str(tmp_path / "out")).schema
    assert vector_column(schema, "out") == ("embedding", {"model": "m", "dim": 2})
    with pytest.raises(InputError, match="docs has 0 embedding columns"):
        vector_column(numbers(spark, 0, 1).schema, "docs")


def embedded(spark: "SparkSession", **facts: object) -> "DataFrame":
    from pyspark.sql import functions as sf

    df = spark.createDataFrame([(1, [0.0, 1.0])], "id int, embedding array<float>")
    return df.select("id", sf.col("embedding").alias("embedding", metadata={FACTS: facts}))


@pytest.mark.parametrize("kind", ["hadoop", "arrow"])
def test_both_file_systems_do_the_same(spark: "SparkSession", tmp_path: Path, kind: str) -> None:
    files: Files = HadoopFiles(spark) if kind == "hadoop" else ArrowFiles()
    folder = f"file://{tmp_path}/a folder/in é"
    files.make(folder)
    Path(tmp_path, "a folder", "in é", "x").write_text("x", encoding="utf-8")
    assert files.names(folder) == ["x"]
    files.move(folder, f"{tmp_path}/moved")
    assert not files.exists(folder)
    assert files.exists(f"{tmp_path}/moved/x")
    with pytest.raises(Exception, match="nowhere"):
        files.move(f"{tmp_path}/nowhere", f"{tmp_path}/there")
    files.delete(f"{tmp_path}/moved")
    files.delete(f"{tmp_path}/moved")
    assert not files.exists(f"{tmp_path}/moved")

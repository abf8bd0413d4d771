"""Read tables in every format; rows that cannot be read, and wrong names."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as sf

from st_spark.errors import TableError
from st_spark.tables import io
from st_spark.tables.columns import CORRUPT
from st_spark.tables.decoding import checked_count, is_undecodable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow


def rows(df: "DataFrame") -> list[tuple[object, ...]]:
    return sorted(map(tuple, df.collect()), key=str)


def text_file(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


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


def test_the_format_is_found_from_the_name_or_the_files(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "docs.parquet" / "_delta_log").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    found = {
        name: io.find_format(spark, str(tmp_path / name)) for name in ("docs.parquet", "plain", "a.CSV", "b.csv.gz")
    }
    assert found == {"docs.parquet": "delta", "plain": "parquet", "a.CSV": "csv", "b.csv.gz": "csv"}
    names = ("db.no_docs", "no_docs", "texts.jsonl", "s3a.parquet")
    assert [io.find_format(spark, name) for name in names] == ["table", "table", "json", "parquet"]


@pytest.mark.parametrize("where", ["/no/such/place", "/no/such.csv", "/no/such.jsonl", "no_db.no_table", "no_table"])
def test_a_missing_path_or_table_is_an_error(spark: "SparkSession", where: str) -> None:
    with pytest.raises(TableError, match=f"There is no (path|table) {where}"):
        io.read(spark, where)


def test_a_pattern_that_matches_nothing_is_called_a_pattern(spark: "SparkSession") -> None:
    with pytest.raises(TableError, match=r"No path matches the pattern /no/such/docs\[12\]\.csv"):
        io.read(spark, "/no/such/docs[12].csv")


@pytest.mark.parametrize("name", ["docs[1]", "docs{a,b}*", "back\\slash? %41 é"])
@pytest.mark.parametrize("suffix", ["", ".csv", ".jsonl"])
def test_a_path_that_exists_is_no_pattern(spark: "SparkSession", tmp_path: Path, name: str, suffix: str) -> None:
    where = tmp_path / f"{name}{suffix}"
    for decoy in ("docs1", "docsa"):
        text_file(tmp_path / f"{decoy}{suffix}", "no table")
    if not suffix:
        where.mkdir()
        pq.write_table(pa.table({"id": [1], "text": ["1"]}), where / "part.parquet")
    else:
        text_file(where, "id,text\n1,1\n" if suffix == ".csv" else '{"id": 1, "text": "1"}\n')
    assert [str(row["id"]) for row in io.read(spark, str(where)).collect()] == ["1"]


def test_a_pattern_still_reads_several_files(spark: "SparkSession", tmp_path: Path) -> None:
    for number in range(3):
        text_file(tmp_path / f"docs{number}.csv", f"id,text\n{number},a\n")
    assert rows(io.read(spark, str(tmp_path / "docs[01].csv")).select("id")) == [("0",), ("1",)]


@pytest.mark.parametrize("name", ["_st_spark_result", "_ST_SPARK_corrupt_row", "_st_spark_anything"])
@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_column_with_a_name_of_ours_is_refused(spark: "SparkSession", tmp_path: Path, name: str, suffix: str) -> None:
    where = str(tmp_path / f"docs.{suffix}")
    if suffix == "parquet":
        spark.range(1).select("id", sf.lit("x").alias(name)).write.parquet(where)
    else:
        text_file(Path(where), f"id,{name}\n1,x\n" if suffix == "csv" else json.dumps({"id": 1, name: "x"}) + "\n")
    with pytest.raises(TableError, match=f"has a column '{name}'.*Fix: rename the column"):
        io.read(spark, where)


def test_a_column_called_corrupt_record_is_kept(spark: "SparkSession", tmp_path: Path) -> None:
    path = text_file(tmp_path / "in.jsonl", '{"id": 1, "_corrupt_record": "mine"}\nnonsense\n')
    df = io.read(spark, path)
    assert [row["_corrupt_record"] for row in df.where(f"{CORRUPT} is null").collect()] == ["mine"]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_columns_that_differ_in_case_have_a_fix(spark: "SparkSession", tmp_path: Path, suffix: str) -> None:
    where = str(tmp_path / f"docs.{suffix}")
    text_file(tmp_path / "docs.jsonl", '{"text": "a", "Text": "b"}\n')
    if suffix == "parquet":
        pq.write_table(pa.table({"text": ["a"], "Text": ["b"]}), where)
    with pytest.raises(TableError, match=r"several columns named 'text'.*Fix: set spark.sql.caseSensitive=true"):
        io.read(spark, where)
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert rows(io.read(spark, where).select("text", "Text")) == [("a", "b")]
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        *((name, name) for name in ("utf-8", "latin-1", "cp1252", "utf-16", "iso8859_15", "Windows-1252", "shift_jis")),
        (None, "utf-8-sig"),
        ("utf-8-sig", "utf-8-sig"),
    ],
)
def test_text_files_are_read_in_their_encoding(
    spark: "SparkSession", tmp_path: Path, encoding: str | None, written: str
) -> None:
    text = "日本" if written == "shift_jis" else "café, naïve"
    (tmp_path / "in.csv").write_bytes(f'id,text\n1,"{text}"\n2,b\n'.encode(written))
    df = io.read(spark, str(tmp_path / "in.csv"), encoding=encoding)
    assert rows(df.drop(CORRUPT)) == [("1", text), ("2", "b")]


@pytest.mark.parametrize(
    ("content", "encoding", "lost"),
    [
        ("id,text\n1,café\n2,b\n".encode("latin-1"), None, 1),
        ("id,text\n1,café\n2,b\n".encode("latin-1"), "latin-1", 0),
        ("id,text\n1,caf\ufffd\n2,b\n".encode(), None, 0),
        ("id,text\n1,café\n2,b\n".encode(), "ascii", 1),
        (b"id,text\n1,a\n2,\n", None, 0),
    ],
)
def test_rows_that_lose_characters_are_counted(
    spark: "SparkSession", tmp_path: Path, content: bytes, encoding: str | None, lost: int
) -> None:
    where = tmp_path / "in.csv"
    where.write_bytes(content)
    df = io.read(spark, str(where), encoding=encoding)
    found = df.where(is_undecodable(df, df.columns)).count()
    assert checked_count(spark, str(where), encoding, found) == lost


def test_a_file_of_another_format_is_an_error(spark: "SparkSession", tmp_path: Path) -> None:
    path = text_file(tmp_path / "in.parquet", "this is no parquet")
    with pytest.raises(TableError, match=r"cannot be read as parquet: .*CANNOT_READ_FILE_FOOTER"):
        io.read(spark, path)


def test_a_delta_table_without_delta_in_the_session_has_a_fix(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(TableError, match=r"--packages io\.delta"):
        io.read(spark, str(tmp_path))

"""Read tables in every format; rows that cannot be read, and wrong names."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.errors import TableError
from st_spark.tables import io
from st_spark.tables.columns import CORRUPT

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


def test_a_file_of_another_format_is_an_error(spark: "SparkSession", tmp_path: Path) -> None:
    path = text_file(tmp_path / "in.parquet", "this is no parquet")
    with pytest.raises(TableError, match=r"cannot be read as parquet: .*CANNOT_READ_FILE_FOOTER"):
        io.read(spark, path)


def test_a_delta_table_without_delta_in_the_session_has_a_fix(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(TableError, match=r"--packages io\.delta"):
        io.read(spark, str(tmp_path))

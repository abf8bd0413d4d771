"""The result of a job as a file: written completely or not at all, on the local disk or by Spark."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.errors import InputError
from st_spark.spark.filesystem import ArrowFiles, HadoopFiles
from st_spark.steps import result_file

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_an_older_result_is_deleted_before_the_work_and_no_partial_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("of an earlier run", encoding="utf-8")
    result_file.prepare(str(path))
    assert not path.exists()
    result_file.write(str(path), {"rows": {"in": 3}, "folder": tmp_path})
    assert json.loads(path.read_text(encoding="utf-8")) == {"rows": {"in": 3}, "folder": str(tmp_path)}
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder for the result"):
        result_file.prepare(str(tmp_path / "none" / "r.json"))


@pytest.mark.parametrize("path", ["t/r.json", "link/x/r.json", "file:{tmp}/t/r.json", "in.jsonl", "x/../in.jsonl"])
def test_a_result_never_lies_in_a_table(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text("precious", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "t")
    with pytest.raises(InputError, match=r"--result .* is in the table "):
        result_file.prepare(path.replace("{tmp}", str(tmp_path)), ["in.jsonl", f"{tmp_path}/t", "t2"])
    assert (tmp_path / "in.jsonl").read_text(encoding="utf-8") == "precious"
    result_file.prepare("t.json", ["in.jsonl", "t"])


@pytest.mark.slow
def test_spark_writes_a_path_with_a_scheme(spark: "SparkSession", tmp_path: Path) -> None:
    address = f"file://{tmp_path}/new/r.json"
    for number in (1, 2):
        result_file.prepare(address)
        result_file.write(address, {"text": "é", "number": number})
    assert json.loads((tmp_path / "new" / "r.json").read_text(encoding="utf-8")) == {"text": "é", "number": 2}
    assert not list((tmp_path / "new").glob("*partial*"))


@pytest.mark.slow
def test_a_result_that_is_written_half_leaves_no_file_at_the_path(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = HadoopFiles.write

    def write_half(files: HadoopFiles, path: str, text: str) -> None:
        write(files, path, text[: len(text) // 2])
        raise OSError("the disk is full")

    monkeypatch.setattr(HadoopFiles, "write", write_half)
    with pytest.raises(OSError, match="disk is full"):
        result_file.write(f"file://{tmp_path}/r.json", {"number": 1})
    assert not (tmp_path / "r.json").exists()


def test_arrow_writes_a_path_with_a_scheme_for_connect(tmp_path: Path) -> None:
    ArrowFiles().write(f"file://{tmp_path}/r.json", "é")
    assert (tmp_path / "r.json").read_text(encoding="utf-8") == "é"

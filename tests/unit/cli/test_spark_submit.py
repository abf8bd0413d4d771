"""The application of spark-submit: that of the command line, and it leaves the reason of a failure behind."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.cli import spark_submit

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_arguments_that_cannot_work_are_told_by_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "r.json"
    assert spark_submit.main(["embed", "--input=/in", f"--result={result}"]) == 2
    told = json.loads(result.read_text(encoding="utf-8"))
    assert told["job"] == "embed"
    assert told["error"]["kind"] == "SpecError"
    assert f"{told['error']['problem']} Fix: {told['error']['fix']}" in capsys.readouterr().err


def test_a_result_that_can_be_put_nowhere_does_not_hide_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert spark_submit.main(["embed", "--result=/no/such/folder/r.json"]) == 2
    assert "st-spark: error: embed needs" in capsys.readouterr().err


@pytest.mark.slow
def test_a_failure_on_the_cluster_is_told_too(
    spark: "SparkSession", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "r.json"
    argv = [f"--input={tmp_path}/none", "--text-column=t", "--model=m", f"--output={tmp_path}/out"]
    assert spark_submit.main(["embed", *argv, f"--result=file://{result}"]) == 2
    assert json.loads(result.read_text(encoding="utf-8"))["error"]["kind"] == "TableError"

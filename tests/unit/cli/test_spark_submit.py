"""The application for spark-submit: the command line, and the error in the result file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.cli import spark_submit
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_wrong_arguments_are_in_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "r.json"
    assert spark_submit.main(["embed", "--input=/in", f"--result={result}"]) == 2
    written = json.loads(result.read_text(encoding="utf-8"))
    assert written["job"] == "embed"
    assert written["error"]["kind"] == "SpecError"
    assert f"{written['error']['problem']} Fix: {written['error']['fix']}" in capsys.readouterr().err


def test_unwritable_result_does_not_hide_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert spark_submit.main(["embed", "--result=/no/such/folder/r.json"]) == 2
    assert "st-spark: error: embed needs" in capsys.readouterr().err


def test_standard_output_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert spark_submit.main(["embed", "--result=-"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_unknown_model_is_in_a_result_that_spark_writes(tmp_path: Path) -> None:
    """Models are checked before Spark starts."""
    script, result = tmp_path / "job.py", tmp_path / "r.json"
    script.write_text("import sys\nfrom st_spark.cli.spark_submit import main\nsys.exit(main())\n", encoding="utf-8")
    submit = Path(sys.executable).with_name("spark-submit")
    options = ["embed", "--input=/in", "--text-column=t", "--output=/out", f"--model={tmp_path}/none"]
    command = [str(submit), "--master", "local[1]", str(script), *options, f"--result=file://{result}"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert done.returncode != 0
    assert json.loads(result.read_text(encoding="utf-8"))["error"]["kind"] == "ModelError"


@pytest.mark.slow
def test_a_table_that_is_named_as_the_result_stays(spark: "SparkSession", tmp_path: Path) -> None:
    spark.range(3).write.parquet(str(tmp_path / "docs"))
    where = f"file://{tmp_path}/docs"
    options = ["embed", f"--input={where}", "--text-column=t", f"--output={tmp_path}/out", "--model=m"]
    assert spark_submit.main([*options, f"--result={where}"]) == 2
    assert spark.read.parquet(where).count() == 3


@pytest.mark.slow
def test_failure_of_spark_is_in_the_result(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "r.json"
    argv = [f"--input={tmp_path}/none", "--text-column=t", f"--model={tiny_model}", f"--output={tmp_path}/out"]
    assert spark_submit.main(["embed", *argv, f"--result=file://{result}"]) == 2
    assert json.loads(result.read_text(encoding="utf-8"))["error"]["kind"] == "TableError"

"""What a session runs on: the workers of a local master run the driver's Python."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from st_spark.spark.cluster import use_this_python

SCRIPT = """
import sys
from pyspark.sql import SparkSession
from st_spark import encode, similarity_join
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
spark = builder.config("spark.sql.shuffle.partitions", "1").getOrCreate()
docs = spark.sql("SELECT id, array(float(1), float(id)) AS embedding FROM range(2)").coalesce(1)
print("pairs", similarity_join(docs, k=1).count())
spark.sparkContext.pythonExec = "python3"
texts = spark.sql("SELECT 'the cat' AS text")
print("dimension", len(texts.select(encode("text", model=sys.argv[1]).alias("e")).first().e))
"""


@pytest.mark.slow
def test_a_local_session_needs_no_pyspark_python(tiny_model: Path, tmp_path: Path) -> None:
    """The first python3 on the PATH does not run, as one without pyarrow would not."""
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYSPARK_PYTHON"}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-c", SCRIPT, str(tiny_model)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["pairs", "2", "dimension", "32"]


def session(master: str, python: str) -> Any:
    return SimpleNamespace(sparkContext=SimpleNamespace(master=master, pythonExec=python))


@pytest.mark.parametrize(
    ("master", "python", "used"),
    [
        ("local[2]", "python3", sys.executable),
        ("local-cluster[2,1,1024]", "python3", sys.executable),
        ("local[2]", "/opt/python3", "/opt/python3"),
        ("spark://host:7077", "python3", "python3"),
    ],
)
def test_only_a_local_master_without_a_choice_gets_the_python_of_the_driver(
    master: str, python: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    spark = session(master, python)
    use_this_python(spark)
    assert spark.sparkContext.pythonExec == used


def test_a_chosen_python_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "python3")
    spark = session("local[2]", "python3")
    use_this_python(spark)
    assert spark.sparkContext.pythonExec == "python3"

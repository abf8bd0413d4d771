"""What a session runs on: the workers of a local master run the driver's Python."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from st_spark.spark.cluster import use_this_python


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

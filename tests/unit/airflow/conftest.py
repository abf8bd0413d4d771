"""Airflow's home is a folder of its own: nothing of the person who runs the tests is read or written."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="st-spark-airflow-home-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "false"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def spark_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of this environment is on the PATH, whether or not the environment is activated."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

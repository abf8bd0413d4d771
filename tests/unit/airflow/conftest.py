"""A temporary Airflow home: the tests do not use the user's."""

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
    """Put the spark-submit of this environment on the PATH, also if the environment is not activated."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

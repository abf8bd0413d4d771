"""Run the cases of delta_cases.py on a Spark with Delta's jars, which needs a process of its own."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.short_spark import INTERPRETED


@pytest.mark.timeout(1_800)  # it has some twenty tests, each with jobs of its own
def test_delta_outputs() -> None:
    cases = "tests/end_to_end/delta_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", cases]
    settings = " ".join(f"--conf {key}={value}" for key, value in INTERPRETED.items())
    environment = os.environ | {"PYSPARK_SUBMIT_ARGS": f"{settings} pyspark-shell"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]

"""Run the cases of delta_cases.py on a Spark with Delta's jars, which needs a process of its own."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.timeout(1_800)  # nineteen tests, each with jobs of its own
def test_delta_outputs() -> None:
    cases = "tests/end_to_end/delta_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", cases]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]

"""Some rounds of the benchmark that kills embed jobs at random moments, in a process with Delta."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.timeout(1_800)
def test_tables_are_right_after_a_kill_and_a_rerun() -> None:
    command = [sys.executable, "-m", "benchmarks.kill_points", "--runs", "6", "--rows", "3000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]

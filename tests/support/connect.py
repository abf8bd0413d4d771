"""Run scripts in new processes: a process has a Spark Connect client or a classic session, not both."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.paths import ROOT

# With this setting a Connect server uses a free port instead of 15002, so two tests can run at once.
ANY_PORT = {"SPARK_TESTING": "1"}


def run(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script over Spark Connect, and return the JSON after RESULT without "module", which must be Connect's."""
    environment = {**os.environ, **ANY_PORT, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    assert "RESULT" in done.stdout, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.split("RESULT")[1])
    assert found.pop("module").startswith("pyspark.sql.connect")
    return found

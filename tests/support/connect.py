"""Scripts in a process of their own, for a process is a client of Spark Connect or has a classic session, not both."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.paths import ROOT

# Spark's own switch: a server of Connect then takes a free port, not 15002, so that two tests may have one at a time.
ANY_PORT = {"SPARK_TESTING": "1"}


def run(script: str, *arguments: str) -> dict[str, Any]:
    """What a script over Spark Connect prints after RESULT, as JSON, but for the "module", which must be Connect's."""
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

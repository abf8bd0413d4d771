"""Run the cases of object_store_cases.py in a process whose Spark knows a local S3 server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.s3_server import KEYS, s3_server, spark_defaults
from tests.support.paths import ROOT

# What goes with the PySpark of constraints.txt: its Hadoop, and the AWS SDK of that.
HADOOP, SDK = "3.5.0", "2.35.4"
LOST_JARS = ("UNRESOLVED DEPENDENCIES", "cannot be fetched", "unresolved dependency")


@pytest.mark.timeout(1_800)
def test_tables_in_an_object_store(tmp_path: Path) -> None:
    cases = "tests/end_to_end/object_store_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", cases]
    with s3_server(tmp_path / "server") as address:
        defaults = spark_defaults(tmp_path / "conf", address, HADOOP, SDK)
        known = {"SPARK_CONF_DIR": str(defaults), "AWS_ENDPOINT_URL_S3": address, "AWS_ENDPOINT_URL": address}
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **KEYS, **known}, capture_output=True, text=True, check=False
        )
    if any(sign in done.stdout for sign in LOST_JARS):
        pytest.skip("the jars of S3A cannot be fetched")
    assert done.returncode == 0, done.stdout[-8000:]

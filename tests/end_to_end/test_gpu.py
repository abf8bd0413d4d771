"""GPUs of Spark's scheduler: each task asks torch for the device whose address Spark gave it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

# The addresses come from Spark's scheduler. The discovery script prints made-up ones: this machine may have no GPU.
SCRIPT = """
import json, sys, time
import pyarrow as pa
from pyspark.sql import SparkSession
from st_spark import encode

model, discovery = sys.argv[1:]
settings = {
    "spark.ui.enabled": "false",
    "spark.executor.memory": "512m",
    "spark.executor.resource.gpu.amount": "2",
    "spark.executor.resource.gpu.discoveryScript": discovery,
    "spark.worker.resource.gpu.amount": "2",
    "spark.worker.resource.gpu.discoveryScript": discovery,
    "spark.task.resource.gpu.amount": "1",
}
spark = SparkSession.builder.master("local-cluster[1,2,1024]").config(map=settings).getOrCreate()
spark.sparkContext.setLogLevel("OFF")

def device(batches):
    from st_spark.spark.task_resources import task_device
    list(batches)
    time.sleep(3)  # so that both tasks run at the same time
    yield pa.RecordBatch.from_pydict({"device": [task_device()]})

out = {"devices": [r.device for r in spark.range(2, numPartitions=2).mapInArrow(device, "device string").collect()]}
docs = spark.range(2, numPartitions=2).selectExpr("'the cat' AS text")
try:
    docs.select(encode("text", model=model)).collect()
except Exception as error:
    out["error"] = str(error)
print("RESULT" + json.dumps(out))
spark.stop()
"""


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="torch has the devices that the test wants to be missing")
def test_two_tasks_ask_for_the_two_devices_that_spark_gave_them(tiny_model: Path, tmp_path: Path) -> None:
    discovery = tmp_path / "discover.sh"
    discovery.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["0", "1"]}'\n""")
    discovery.chmod(0o755)
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(tmp_path / "local"),
        "SPARK_WORKER_DIR": str(tmp_path / "work"),
    }
    command = [sys.executable, "-c", SCRIPT, str(tiny_model), str(discovery)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert "RESULT" in done.stdout, done.stderr[-3000:]
    found = json.loads(done.stdout.split("RESULT")[1])
    assert sorted(found["devices"]) == ["cuda:0", "cuda:1"]
    assert "PlatformError: Spark gave this task the device 'cuda:" in found["error"]
    assert "Fix: install a CUDA build of torch" in found["error"]

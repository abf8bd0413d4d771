"""A program of a user on a local master: its workers run its Python."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pyspark.sql import SparkSession
from st_spark import encode, similarity_join
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
spark = builder.config("spark.sql.shuffle.partitions", "1").getOrCreate()
docs = spark.sql("SELECT id, array(float(1), float(id)) AS embedding FROM range(2)").coalesce(1)
print("pairs", similarity_join(docs, k=1).count())
spark.sparkContext.pythonExec = "python3"
texts = spark.sql("SELECT 'the cat' AS text")
print("dimension", len(texts.select(encode("text", model=sys.argv[1]).alias("e")).first().e))
"""


def test_a_local_session_needs_no_pyspark_python(tiny_model: Path, tmp_path: Path) -> None:
    """The first python3 on the PATH does not run, as one without pyarrow would not."""
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYSPARK_PYTHON"}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-c", SCRIPT, str(tiny_model)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["pairs", "2", "dimension", "32"]


START = """
import sys
from st_spark.jobs.start import start
from st_spark.specs.row_jobs import EmbedJob
spark = start(EmbedJob(input="in", output="out", model=sys.argv[1], text_column="text"))

def loaded(batches):
    names = " ".join(name for name in ("torch", "transformers", "st_spark.model.encoder") if name in sys.modules)
    yield from (batch.from_pydict({"names": [names] * len(batch)}) for batch in batches)

print(*sorted({row.names for row in spark.range(8).mapInArrow(loaded, "names string").collect()}), sep=chr(10))
"""


def test_workers_of_a_job_have_the_libraries_of_models_from_the_start(tiny_model: Path) -> None:
    command = [sys.executable, "-c", START, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == ["torch transformers st_spark.model.encoder"]


OPTIONS = """
from st_spark.spark import session
management = session.start()._jvm.java.lang.management.ManagementFactory
print(*management.getRuntimeMXBean().getInputArguments(), sep=chr(10))
"""


def test_java_options_of_the_user_come_after_ours(tmp_path: Path) -> None:
    options = {name: f"-XX:Tier4InvocationThreshold={calls}" for name, calls in (("default", 6000), ("extra", 5000))}
    lines = [f"spark.driver.{name}JavaOptions {option}  \n" for name, option in options.items()]
    (tmp_path / "spark-defaults.conf").write_text("".join(lines))
    environment = os.environ | {"SPARK_CONF_DIR": str(tmp_path)}
    command = [sys.executable, "-c", OPTIONS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    given = [line for line in done.stdout.splitlines() if "Tier4InvocationThreshold" in line]
    assert given == ["-XX:Tier4InvocationThreshold=200000", *options.values()]  # Java takes the last one

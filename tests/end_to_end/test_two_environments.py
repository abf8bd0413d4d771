"""Airflow in an environment without Spark and models, Spark in one without Airflow: the operators work across both."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.airflow_server import spark_settings
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

_UV = Path(sys.executable).with_name("uv")
TICKETS: list[str | None] = [
    "The parcel arrived broken.",
    "How do I change my address?",
    "Great service, thank you!",
    None,
]
PRODUCTS: list[str | None] = ["Parcel delivery", "Account and address settings"]


@dataclass(frozen=True)
class Environments:
    """The folders of both, and the variables that Airflow runs with."""

    airflow: Path
    spark: Path
    env: Mapping[str, str]

    def run(self, *argv: str) -> str:
        """Run a program of Airflow's environment and return its output."""
        command = [str(self.airflow / "bin" / argv[0]), *argv[1:]]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Environments:
    """Both environments. uv makes them with links to the files of its cache, so nothing is copied on the same disk."""
    folder = tmp_path_factory.mktemp("environments")
    airflow, spark, data = folder / "airflow", folder / "spark", folder / "data"
    make(airflow, "apache-airflow", "apache-airflow-providers-apache-spark")
    uv("pip", "install", "--python", python(airflow), "--no-deps", "--build-constraints", "constraints.txt", ".")
    make(spark, "--requirements", "pyproject.toml", "--extra", "spark")
    dags = folder / "dags"
    dags.mkdir()
    for file in (ROOT / "dags").glob("*.py"):
        source = file.read_text(encoding="utf-8").replace("/data/", f"{data}/")
        (dags / file.name).write_text(source.replace("all-MiniLM-L6-v2", str(minilm)), encoding="utf-8")
    for name, texts in {"tickets": TICKETS, "products": PRODUCTS}.items():
        (data / name).mkdir(parents=True)
        pq.write_table(pa.table({"id": list(range(len(texts))), "text": texts}), data / name / "part.parquet")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[2]"}),
        "PATH": f"{spark / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYSPARK_PYTHON": python(spark),
        "SPARK_CONF_DIR": str(spark_settings(folder / "conf")),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    both = Environments(airflow, spark, env)
    both.run("airflow", "db", "migrate")
    return both


def make(folder: Path, *packages: str) -> None:
    """Make an environment with some packages, in the versions of constraints.txt."""
    uv("venv", "--python", sys.executable, str(folder))
    uv("pip", "install", "--python", python(folder), "--constraints", "constraints.txt", *packages)


def uv(*argv: str) -> None:
    """Run uv in the repository."""
    env = {"UV_SYSTEM_CERTS": "1", **os.environ}
    done = subprocess.run([str(_UV), *argv], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def python(folder: Path) -> str:
    return str(folder / "bin" / "python")


def has(folder: Path, module: str) -> bool:
    """Return whether the environment has a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python(folder), "-I", "-c", code], check=False).returncode == 0


def test_neither_environment_has_the_packages_of_the_other(both: Environments) -> None:
    assert [
        module for module in ("torch", "transformers", "tokenizers", "safetensors") if has(both.airflow, module)
    ] == []
    assert [module for module in ("airflow", "st_airflow", "st_spark") if has(both.spark, module)] == []
    assert not (both.airflow / "bin" / "spark-submit").exists()


READ = """
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.providers_manager import ProvidersManager
read = DagBag()
print(json.dumps([list(ProvidersManager().providers), list(read.dags), read.import_errors]))
"""


def test_airflow_knows_the_provider_and_reads_all_dags(both: Environments) -> None:
    providers, dags, errors = json.loads(both.run("python", "-c", READ).splitlines()[-1])  # log lines come before it
    assert "st-spark" in providers
    assert (sorted(dags), errors) == (sorted(file.stem for file in (ROOT / "dags").glob("*.py")), {})


def test_the_warehouse_is_enriched_by_a_spark_that_has_no_airflow(both: Environments, tmp_path: Path) -> None:
    both.run("airflow", "dags", "test", "enrich_warehouse")
    data = Path(both.env["AIRFLOW__CORE__DAGS_FOLDER"]).parent / "data" / "enriched"
    labelled = {row["id"]: row["classification"] for row in pq.read_table(data / "labelled").to_pylist()}
    assert labelled[2]["label"] == "praise"
    assert [len(labelled[number]["scores"]) for number in range(3)] == [3, 3, 3]
    assert labelled[3] is None
    matches = {row["left_id"]: row["right_id"] for row in pq.read_table(data / "matches").to_pylist()}
    assert matches == {0: 0, 1: 1, 2: matches[2]}

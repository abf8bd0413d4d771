"""The example DAGs: read in no time where there is neither torch nor Spark, with parameters and without secrets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from st_airflow.base import JobOperator
from tests.support.paths import ROOT

FILES = sorted((ROOT / "dags").glob("*.py"))
NAMES = [file.stem for file in FILES]

# The processes that read DAGs have loaded Airflow itself before, and the plugin of OpenLineage where that is installed.
# Processor time, for other processes may want the cores too.
READ = """
import runpy, sys, time
import airflow.sdk
import airflow.providers.common.compat.openlineage.utils.spark
begin = time.process_time()
runpy.run_path(sys.argv[1])
print(time.process_time() - begin)
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def found() -> dict[str, DAG]:
    bag = DagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags")
    assert bag.import_errors == {}
    return dict(bag.dags)


def test_each_file_is_one_dag_of_its_name(found: dict[str, DAG]) -> None:
    assert sorted(found) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_dag_is_read_in_less_than_a_second_without_a_heavy_library(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", READ, str(file)], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.splitlines()[-2:]
    assert float(seconds) < 1
    assert not {"torch", "transformers", "pyspark", "pandas", "pyarrow"} & set(loaded.split())


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_has_a_type_and_a_default_that_fits(found: dict[str, DAG], name: str) -> None:
    params = found[name].params
    assert params
    assert all(params.get_param(each).schema.get("type") for each in params)
    params.validate()


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_made_again_writes_over_what_it_wrote(found: dict[str, DAG], name: str) -> None:
    tasks = [task for task in found[name].tasks if isinstance(task, JobOperator)]
    assert {task.job["mode"] for task in tasks} == {"overwrite"}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_dag_is_short_and_says_what_it_does(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.startswith('"""')
    assert len(source.splitlines()) < 80
    assert not [word for word in ("password", "secret", "token", os.sep + "home") if word in source.lower()]

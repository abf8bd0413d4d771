"""The example DAGs: they load fast, without torch and Spark, with valid parameters and without secrets."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from st_airflow import EmbedOperator
from st_airflow.base import JobOperator
from tests.support.paths import ROOT

FILES = sorted((ROOT / "dags").glob("*.py"))
NAMES = [file.stem for file in FILES]

# Airflow has loaded itself and the OpenLineage plugin before it reads a DAG. Each DAG is read in
# a fork. Processor time is measured, because other processes may use the cores.
READ = """
import os, runpy, sys, time
import airflow.sdk
import airflow.providers.common.compat.openlineage.utils.spark
for file in sys.argv[1:]:
    if os.fork() == 0:
        begin = time.process_time()
        runpy.run_path(file)
        print("READ", time.process_time() - begin, *sys.modules, flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, file
"""


@pytest.fixture(scope="module")
def found() -> dict[str, DAG]:
    loaded = DagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags")
    assert loaded.import_errors == {}
    return dict(loaded.dags)


def test_each_file_is_one_dag_with_its_name(found: dict[str, DAG]) -> None:
    assert sorted(found) == NAMES


@pytest.mark.slow
def test_each_dag_loads_in_a_second_without_heavy_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", READ, *map(str, FILES)], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("READ ")]
    assert len(lines) == len(FILES)
    for file, (_, seconds, *loaded) in zip(NAMES, lines, strict=True):
        assert float(seconds) < 1, file
        assert not {"torch", "transformers", "pyspark", "pandas", "pyarrow"} & set(loaded), file


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_has_a_type_and_a_valid_default(found: dict[str, DAG], name: str) -> None:
    params = found[name].params
    assert params
    assert all(params.get_param(each).schema.get("type") for each in params)
    params.validate()


@pytest.mark.parametrize("name", NAMES)
def test_a_second_run_overwrites_the_output_or_merges_into_it(found: dict[str, DAG], name: str) -> None:
    tasks = [task for task in found[name].tasks if isinstance(task, JobOperator)]
    merges = {"answer_questions"}  # its chunks
    assert {task.job["mode"] for task in tasks} == {"overwrite"} | ({"merge"} if name in merges else set())


@pytest.mark.parametrize(("day", "expected"), [(None, "2026-01-01"), ("2025-12-31", "2025-12-31")])
def test_corpus_is_embedded_for_the_day_of_the_run_or_a_given_one(
    found: dict[str, DAG], day: str | None, expected: str
) -> None:
    dag = found["embed_corpus"]
    task = cast("EmbedOperator", dag.get_task("embed").prepare_for_execution())
    context: Any = {
        "ti": SimpleNamespace(dag_id="d", task_id="t"),
        "params": {**dag.params.dump(), "day": day},
        "data_interval_start": datetime(2026, 1, 1, tzinfo=UTC),
    }
    task.render_template_fields(context)
    assert (task.job["input"], task.job["output"]) == (
        f"/data/corpus/day={expected}",
        f"/data/corpus_embedded/day={expected}",
    )


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_dag_is_short_and_documented(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.startswith('"""')
    assert len(source.splitlines()) < 80
    assert not [word for word in ("password", "secret", "token", os.sep + "home") if word in source.lower()]

"""The operators: arguments, templates, defaults, mapping, assets, errors before Spark, and resumed jobs."""

import inspect
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Asset, AssetAlias
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.serialization.serialized_objects import LazyDeserializedDAG

from st_airflow import EmbedOperator, NearDuplicatesOperator, arguments, operators, table
from st_airflow.base import JobOperator
from st_spark.errors import InputError
from st_spark.steps import result_file

EMBED: dict[str, Any] = {"input": "/in", "output": "/out", "model": "m", "text_column": "text"}
OPERATORS = [each for each in vars(operators).values() if isinstance(each, type) and issubclass(each, JobOperator)]
OPERATORS.remove(JobOperator)


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_field_is_a_documented_argument(operator: type[JobOperator]) -> None:
    names = arguments.names(operator.kind)
    assert set(names) <= set(inspect.signature(operator).parameters)
    assert all(f"    {name}: " in (operator.__doc__ or "") for name in names)


@pytest.mark.parametrize("operator", OPERATORS)
def test_no_field_has_the_name_of_an_airflow_argument(operator: type[JobOperator]) -> None:
    taken = {
        name
        for each in SparkSubmitOperator.mro()[:-1]
        if "__init__" in vars(each)
        for name in inspect.signature(vars(each)["__init__"]).parameters
    }
    assert not set(arguments.names(operator.kind)) & (taken - {"self", "kwargs", "args"})


def test_missing_and_unknown_arguments_are_errors_of_the_dag() -> None:
    with pytest.raises(TypeError, match="missing keyword argument 'model'"):
        EmbedOperator(task_id="e", input="/in", output="/out", text_column="text")
    with pytest.raises(TypeError, match="modell"):
        EmbedOperator(task_id="e", modell="m", **EMBED)


def test_fields_come_from_default_args() -> None:
    with DAG("d", default_args={"model": "m", "retries": 3, "fail_if": {"null": "> 0"}}):
        task = EmbedOperator(task_id="e", input="/in", output="/out", text_column="text")
    assert (task.job["model"], task.retries, task.fail_if) == ("m", 3, {"null": "> 0"})


def test_mapped_task_waits_for_its_inputs_and_updates_its_output() -> None:
    with DAG("d") as dag:
        first = EmbedOperator(task_id="first", **EMBED)
        model = cast("Any", first.output)["model"]
        rest = {**EMBED, "model": model, "output": "/all"}
        del rest["input"]
        mapped = EmbedOperator.partial(task_id="e", mode="append", **rest).expand(input=["/a", "/b"])
        own = EmbedOperator.partial(task_id="own", outlets=[], **rest).expand(input=["/a"])
        each = EmbedOperator.partial(task_id="each", input="/in", model="m", text_column="text").expand(output=["/a"])
    assert dag.task_dict["e"].is_mapped
    assert mapped.upstream_task_ids == {"first"}
    assert [mapped.outlets, own.outlets, each.outlets] == [[table("/all")], [], []]
    stored = {
        each["__var"]["task_id"]: each["__var"] for each in LazyDeserializedDAG.from_dag(dag).data["dag"]["tasks"]
    }
    assert "file:///all" in str(stored["e"]["partial_kwargs"]["outlets"])
    task = cast("EmbedOperator", mapped.unmap({"input": "/a"}))
    assert task.job == {**rest, "input": "/a", "mode": "append"}
    assert task.outlets == [table("/all")]


def test_job_fail_if_and_spark_arguments_are_templates() -> None:
    with DAG("d"):
        task = EmbedOperator(
            task_id="e",
            fail_if={"null": "> {{ params.most }}"},
            name="{{ params.name }}",
            **EMBED | {"input": "/in/day={{ ds }}", "text_column": ["title", "{{ params.column }}"]},
        )
    task.render_template_fields({"ds": "2026-01-01", "params": {"most": 3, "name": "n", "column": "body"}})
    assert task.job["input"] == "/in/day=2026-01-01"
    assert task.job["text_column"] == ["title", "body"]
    assert (task.fail_if, task.name) == ({"null": "> 3"}, "n")


def test_output_of_a_task_makes_the_next_wait() -> None:
    with DAG("d"):
        first = EmbedOperator(task_id="first", **EMBED)
        path = cast("Any", first.output)["output"]
        second = NearDuplicatesOperator(task_id="second", input=path, output="/groups")
    assert second.upstream_task_ids == {"first"}


@pytest.mark.parametrize(
    ("arguments_", "expected"),
    [
        ({"output": "/out"}, ["file:///out"]),
        ({"output": "s3a://bucket/out/"}, ["s3://bucket/out"]),
        ({"output": "shop.docs", "output_format": "table"}, ["x-spark-table://shop.docs"]),
        ({"output": "shop.docs"}, ["x-spark-table://shop.docs"]),
        ({"output": "shop.docs", "output_format": "parquet"}, []),  # a folder with this name
        ({"output": "out/docs"}, []),
        ({"output": "/out/day={{ ds }}"}, []),
        ({"output": "/out/{% if params.x %}a{% endif %}"}, []),
        ({"output": "/out/{# daily #}"}, []),
        ({"output": "/out", "outlets": [Asset("corpus")]}, ["corpus"]),
        ({"output": "/out", "outlets": []}, []),
        ({"output": "/out", "default_args": {"outlets": [Asset("corpus")]}}, ["corpus"]),
    ],
)
def test_output_that_is_known_is_an_asset(arguments_: dict[str, Any], expected: list[str]) -> None:
    task = EmbedOperator(task_id="e", **EMBED | arguments_)
    assert [cast("Asset", each).uri for each in task.outlets] == expected


class Instance:
    """The attributes of a task instance that an operator reads. Airflow's own needs a supervisor process."""

    def __init__(self, try_number: int) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "d", "scheduled__2026-01-01T00:00:00+00:00", "e", -1
        self.try_number, self.max_tries = try_number, 2
        self.stats_tags: dict[str, str] = {}


def context(try_number: int = 1, **more: Any) -> Any:
    return {"ti": Instance(try_number), "outlet_events": {}, **more}


@dataclass
class Yarn:
    """A YARN resource manager: the states of its application, one for each request, and the requests."""

    states: list[tuple[str, str]]
    requests: list[str]


@pytest.fixture
def yarn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Yarn]:
    """A connection to a YARN with one application, which has finished."""
    found = Yarn([], [])

    class Manager(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append(self.path)
            state, final = found.states.pop(0) if found.states else ("FINISHED", "SUCCEEDED")
            self.answer({"app": {"state": state, "finalStatus": final, "diagnostics": ""}})

        def do_PUT(self) -> None:
            found.requests.append(f"PUT {self.path}")
            self.answer({"state": "KILLED"})

        def answer(self, body: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Manager)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    extra = {
        "deploy-mode": "cluster",
        "yarn_resourcemanager_webapp_address": f"http://127.0.0.1:{server.server_port}",
    }
    monkeypatch.setenv("AIRFLOW_CONN_YARN", json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra}))
    yield found
    server.shutdown()
    server.server_close()


def resuming(tmp_path: Path, **more: Any) -> EmbedOperator:
    return EmbedOperator(
        task_id="e",
        conn_id="yarn",
        yarn_track_via_rm_api=True,
        result_path=str(tmp_path / "r.json"),
        retries=2,
        outlets=[],
        **EMBED,
        **more,
    )


DONE = {"job": "embed", "spark": {"application": "application_1_1", "version": "4.2.0"}, "rows": {"in": 10, "null": 4}}


STORE = {"spark_job_id": "application_1_1"}
APPLICATION = "/ws/v1/cluster/apps/application_1_1"
RUNNING = ("RUNNING", "UNDEFINED")


def write_result(tmp_path: Path, result: dict[str, Any] = DONE) -> None:
    result_file.write(str(tmp_path / "r.json"), result)


class Late(dict[str, Any]):
    """A store of task state. When Airflow looks for the job, the driver writes its result."""

    def __init__(self, tmp_path: Path, result: dict[str, Any]) -> None:
        super().__init__(STORE)
        self.write = partial(write_result, tmp_path, result)

    def get(self, key: str, default: object = None) -> Any:
        """Return a value, after the result is written."""
        self.write()
        return super().get(key, default)


@pytest.mark.parametrize("try_number", [1, 2])  # 1: the only try was lost, and the task was cleared
def test_running_job_is_found_again_gives_its_result_and_can_be_killed(
    yarn: Yarn, tmp_path: Path, try_number: int
) -> None:
    yarn.states = [RUNNING]
    task = resuming(tmp_path)
    assert task.execute(context(try_number, task_state_store=Late(tmp_path, DONE))) == DONE
    assert yarn.requests == [APPLICATION, APPLICATION]
    task.on_kill()
    assert yarn.requests[2:] == [f"PUT {APPLICATION}/state"]


def test_error_of_a_job_on_the_cluster_ends_the_task(yarn: Yarn, tmp_path: Path) -> None:
    yarn.states = [RUNNING, ("FINISHED", "FAILED")]
    failed = result_file.failure("embed", InputError("There is no column 'x'.", "choose text."))
    with pytest.raises(AirflowFailException, match=r"There is no column 'x'\. Fix: choose text\."):
        resuming(tmp_path).execute(context(2, task_state_store=Late(tmp_path, failed)))


def test_finished_job_of_a_lost_worker_is_not_run_again(yarn: Yarn, tmp_path: Path) -> None:
    write_result(tmp_path)
    assert resuming(tmp_path).execute(context(2)) == DONE
    assert yarn.requests == []


def test_resumed_result_is_checked(yarn: Yarn, tmp_path: Path) -> None:
    write_result(tmp_path)
    with pytest.raises(AirflowFailException, match="null is 4 of 10 rows, 40%"):
        resuming(tmp_path, fail_if={"null": "> 5%"}).execute(context(2))


@pytest.mark.parametrize("content", ["", '{"job": "embed", "ro'])
def test_missing_or_half_written_result_is_an_error_that_is_tried_again(
    yarn: Yarn, tmp_path: Path, content: str
) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(AirflowException, match="there is no result at") as caught:
        resuming(tmp_path).execute(context(2, task_state_store=dict(STORE)))
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.slow
def test_cleared_task_runs_again_although_its_job_had_succeeded(yarn: Yarn, tmp_path: Path) -> None:
    write_result(tmp_path)
    with pytest.raises(AirflowException, match="HADOOP_CONF_DIR"):  # spark-submit was started, and there is no YARN
        resuming(tmp_path).execute(context(1, task_state_store=dict(STORE)))


def test_first_try_removes_the_result_from_before_the_task_was_cleared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LOST", "spark://127.0.0.1:9")
    for try_number in (2, 1):
        write_result(tmp_path)
        task = EmbedOperator(task_id="e", conn_id="lost", retries=2, result_path=str(tmp_path / "r.json"), **EMBED)
        with pytest.raises(AirflowException, match="does not answer"):
            task.execute(context(try_number))
        assert (tmp_path / "r.json").exists() == (try_number == 2)  # a retry may return it


def test_remote_driver_needs_a_results_folder(yarn: Yarn) -> None:
    task = EmbedOperator(task_id="e", conn_id="yarn", yarn_track_via_rm_api=True, **EMBED)
    with pytest.raises(AirflowException, match=r"results in the section \[st_spark\]"):
        task.execute(context())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fail_if": {"trucated": "> 5%"}}, "did you mean 'truncated'"),
        ({"truncate_dim": "some"}, "truncate_dim is 'some'"),
        ({"mode": "replace"}, "mode is 'replace'"),
        ({"output": "out/docs", "outlets": [AssetAlias("docs")]}, "The table 'out/docs' cannot be an asset."),
    ],
)
def test_wrong_argument_fails_before_spark_is_needed(more: dict[str, Any], message: str) -> None:
    task = EmbedOperator(task_id="e", conn_id="there_is_none", **EMBED | more)
    with pytest.raises(AirflowFailException) as caught:
        task.execute(context())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["k8s://127.0.0.1:9", '{"conn_type": "spark", "host": "k8s://https://127.0.0.1", "port": 9}']
)
def test_kubernetes_without_its_package_fails_before_spark_submit(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.cncf.kubernetes", None)
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", address)
    with pytest.raises(AirflowFailException, match=r"names Kubernetes, .* Fix: pip install .*cncf-kubernetes"):
        EmbedOperator(task_id="e", conn_id="cluster", **EMBED).execute(context())


def test_yarn_without_the_address_of_its_manager_is_a_one_line_error(
    yarn: Yarn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_YARN", '{"conn_type": "spark", "host": "yarn", "extra": {"deploy-mode": "cluster"}}'
    )
    path = str(tmp_path / "r.json")
    task = EmbedOperator(task_id="e", conn_id="yarn", yarn_track_via_rm_api=True, result_path=path, **EMBED)
    with pytest.raises(AirflowFailException, match=r"yarn_resourcemanager_webapp_address.* Fix: correct") as caught:
        task.execute(context())
    assert "\n" not in str(caught.value)


def test_silent_master_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LOST", "spark://127.0.0.1:9")
    with pytest.raises(AirflowException) as caught:
        EmbedOperator(task_id="e", conn_id="lost", **EMBED).execute(context())
    assert str(caught.value).startswith(
        "The Spark master spark://127.0.0.1:9 of the connection 'lost' does not answer."
    )
    assert "Fix: start it" in str(caught.value)


def test_missing_spark_submit_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps({"conn_type": "spark", "host": "local[1]"}))
    task = EmbedOperator(task_id="e", conn_id="here", env_vars={"PATH": "/nowhere"}, **EMBED)
    with pytest.raises(AirflowException, match="There is no spark-submit on the PATH of this worker"):
        task.execute(context())


def test_task_can_be_killed_before_spark_starts() -> None:
    EmbedOperator(task_id="e", conn_id="there_is_none", **EMBED).on_kill()

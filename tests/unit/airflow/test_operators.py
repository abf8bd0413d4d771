"""The operators: arguments, templates, defaults, mapping, assets, errors before Spark, and resumed jobs."""

import inspect
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from st_airflow import EmbedOperator, NearDuplicatesOperator, arguments, operators
from st_airflow.base import JobOperator
from st_spark.jobs import result_file

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


def test_task_can_be_mapped_over_a_field() -> None:
    rest = {name: value for name, value in EMBED.items() if name != "input"}
    with DAG("d") as dag:
        EmbedOperator.partial(task_id="e", **rest).expand(input=["/a", "/b"])
    assert dag.task_dict["e"].is_mapped


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


def test_output_with_a_known_path_is_an_asset() -> None:
    assert EmbedOperator(task_id="e", **EMBED).outlets == [Asset("/out", "file:///out")]
    assert EmbedOperator(task_id="e", **EMBED | {"output": "/out/day={{ ds }}"}).outlets == []
    own = EmbedOperator(task_id="e", outlets=[Asset("corpus")], **EMBED)
    assert own.outlets == [Asset("corpus")]


class Instance:
    """The attributes of a task instance that an operator reads. Airflow's own needs a supervisor process."""

    def __init__(self, try_number: int) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "d", "scheduled__2026-01-01T00:00:00+00:00", "e", -1
        self.try_number, self.max_tries = try_number, 2
        self.stats_tags: dict[str, str] = {}


def context(try_number: int = 1, **more: Any) -> Any:
    return {"ti": Instance(try_number), "outlet_events": {}, **more}


@pytest.fixture
def yarn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A YARN connection to a resource manager with one finished application. The value lists the requests."""
    requests: list[str] = []

    class Manager(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            body = json.dumps({"app": {"state": "FINISHED", "finalStatus": "SUCCEEDED", "diagnostics": ""}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Manager)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    extra = {
        "deploy-mode": "cluster",
        "yarn_resourcemanager_webapp_address": f"http://127.0.0.1:{server.server_port}",
    }
    monkeypatch.setenv("AIRFLOW_CONN_YARN", json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra}))
    yield requests
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


def test_job_found_again_on_the_cluster_gives_its_result(yarn: list[str], tmp_path: Path) -> None:
    result_file.write(str(tmp_path / "r.json"), DONE)
    store = {"spark_job_id": "application_1_1"}
    task = resuming(tmp_path)
    assert task.execute(context(1, task_state_store=store)) == DONE
    assert yarn == ["/ws/v1/cluster/apps/application_1_1"]


def test_finished_job_of_a_lost_worker_is_not_run_again(yarn: list[str], tmp_path: Path) -> None:
    result_file.write(str(tmp_path / "r.json"), DONE)
    assert resuming(tmp_path).execute(context(2)) == DONE
    assert yarn == []


def test_resumed_result_is_checked(yarn: list[str], tmp_path: Path) -> None:
    result_file.write(str(tmp_path / "r.json"), DONE)
    with pytest.raises(AirflowFailException, match="null is 4 of 10 rows, 40%"):
        resuming(tmp_path, fail_if={"null": "> 5%"}).execute(context(2))


def test_missing_result_is_an_error(yarn: list[str], tmp_path: Path) -> None:
    store = {"spark_job_id": "application_1_1"}
    with pytest.raises(AirflowException, match="there is no result at"):
        resuming(tmp_path).execute(context(1, task_state_store=store))


def test_remote_driver_needs_a_results_folder(yarn: list[str]) -> None:
    task = EmbedOperator(task_id="e", conn_id="yarn", yarn_track_via_rm_api=True, **EMBED)
    with pytest.raises(AirflowException, match=r"results in the section \[st_spark\]"):
        task.execute(context())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fail_if": {"trucated": "> 5%"}}, "did you mean 'truncated'"),
        ({"truncate_dim": "some"}, "truncate_dim is 'some'"),
        ({"mode": "replace"}, "mode is 'replace'"),
    ],
)
def test_wrong_argument_fails_before_spark_is_needed(more: dict[str, Any], message: str) -> None:
    task = EmbedOperator(task_id="e", conn_id="there_is_none", **EMBED, **more)
    with pytest.raises(AirflowFailException) as caught:
        task.execute(context())
    assert message in str(caught.value)
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

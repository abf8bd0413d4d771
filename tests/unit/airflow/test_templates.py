"""Templates of operators, with render_template_as_native_obj on and off: text stays text, lists and numbers work."""

from types import SimpleNamespace
from typing import Any, cast

import jinja2
import pytest
from airflow.sdk import DAG
from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.exceptions import AirflowFailException

from st_airflow import ClassifyOperator, EmbedOperator, SimilarityJoinOperator, arguments
from st_airflow.base import JobOperator
from st_spark.errors import SpecError

COLUMN: dict[str, Any] = {"input": "/in", "output": "/out", "model": "m", "text_column": "text"}
REQUIRED: dict[type[JobOperator], dict[str, Any]] = {
    EmbedOperator: COLUMN,
    ClassifyOperator: {**COLUMN, "labels": "a,b"},
    SimilarityJoinOperator: {"left": "/left", "output": "/out"},
}


def render(task: JobOperator, params: dict[str, Any]) -> JobOperator:
    """Render a task as Airflow does: with the environment of its DAG."""
    context: Any = {"ti": SimpleNamespace(dag_id="2024", task_id="1"), "ds": "2026-01-01", "params": params}
    task.render_template_fields(context, task.dag.get_template_env())
    return task


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("operator", "field", "template", "value", "expected"),
    [
        (EmbedOperator, "revision", "20231023", None, "20231023"),
        (EmbedOperator, "revision", "12e4567", None, "12e4567"),
        (EmbedOperator, "revision", "{{ params.x }}", "12e4567", "12e4567"),
        (EmbedOperator, "revision", "{{ params.x }}", 20231023, "20231023"),
        (EmbedOperator, "revision", "2023{{ params.x }}", 1023, "20231023"),
        (EmbedOperator, "revision", "{{ params.x }}", None, None),
        (EmbedOperator, "prompt", "1", None, "1"),
        (EmbedOperator, "prompt", "{{ params.x }}", "[1, 2]", "[1, 2]"),
        (EmbedOperator, "input", "/in/day={{ ds }}", None, "/in/day=2026-01-01"),
        (EmbedOperator, "text_column", "{{ params.x }}", ["title", "1"], ("title", "1")),
        (EmbedOperator, "text_column", ["{{ params.x }}", "2"], "1", ("1", "2")),
        (EmbedOperator, "text_column", "['title', '{{ params.x }}']", "text", ("title", "text")),
        (EmbedOperator, "text_column", "[text", None, "[text"),
        (EmbedOperator, "normalize_embeddings", "{{ params.x }}", True, True),
        (ClassifyOperator, "labels", "1, True", None, "1, True"),
        (ClassifyOperator, "labels", "{{ params.x }}", "1,True", "1,True"),
        (ClassifyOperator, "labels", "{{ params.x }}", ["1", "True"], "1,True"),
        (ClassifyOperator, "labels", ["1", "{{ params.x }}"], "True", "1,True"),
        (SimilarityJoinOperator, "k", "{{ params.x }}", 5, 5),
        (SimilarityJoinOperator, "k", "{{ params.x }}", 5.0, 5),
        (SimilarityJoinOperator, "k", "{{ params.x }}", "5", 5),
        (SimilarityJoinOperator, "k", "5", None, 5),
        (SimilarityJoinOperator, "k", "{{ params.x }}", None, None),
        (SimilarityJoinOperator, "threshold", "{{ params.x }}", 1, 1.0),
        (SimilarityJoinOperator, "threshold", "0.5", None, 0.5),
        (SimilarityJoinOperator, "on", "{{ params.x }}", ["year", "month"], ("year", "month")),
    ],
)
def test_rendered_value_has_the_type_of_its_field(
    native: bool, operator: type[JobOperator], field: str, template: object, value: object, expected: object
) -> None:
    with DAG("d", render_template_as_native_obj=native):
        task = operator(task_id="t", **{**REQUIRED[operator], field: template})
    found = getattr(arguments.job(task.kind, render(task, {"x": value}).job), field)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("native", [False, True])
def test_wrong_value_is_an_error(native: bool) -> None:
    with DAG("d", render_template_as_native_obj=native):
        task = SimilarityJoinOperator(task_id="t", left="/left", output="/out", k="{{ params.x }}")
        label = ClassifyOperator(task_id="l", **COLUMN, labels=["a, b", "c"])
        unknown = EmbedOperator(task_id="u", **{**COLUMN, "model": "{{ nobody }}"})
    with pytest.raises(AirflowFailException, match=r"k is '5\.5'. Fix: give an integer"):
        render(task, {"x": 5.5}).execute({})
    with pytest.raises(AirflowFailException, match=r"label 'a, b' has a comma. Fix: .*labels_table"):
        render(label, {}).execute({})
    with pytest.raises(jinja2.UndefinedError, match="'nobody' is undefined"):
        render(unknown, {})


def test_other_arguments_stay_text_too() -> None:
    with DAG("d", render_template_as_native_obj=True):
        env = {"N": "{{ params.x }}", "M": "1"}
        task = EmbedOperator(task_id="t", **COLUMN, env_vars=env, conf="{{ params.conf }}")
    render(task, {"x": "2", "conf": {"spark.cores.max": "1"}})
    assert (task.name, task.env_vars, task.conf) == ("2024.1", {"N": "2", "M": "1"}, {"spark.cores.max": "1"})


@pytest.mark.parametrize("native", [False, True])
def test_mapped_task_renders_like_any_task(native: bool) -> None:
    rest = {name: value for name, value in COLUMN.items() if name != "input"}
    with DAG("d", render_template_as_native_obj=native) as dag:
        begun = EmbedOperator.partial(task_id="t", revision="20231023", prompt="{{ params.x }}", **rest)
        mapped = begun.expand(input=["/a", "/{{ b }}"])
    task = cast("EmbedOperator", mapped.unmap({"input": "/{{ b }}"}))
    seen = {id(task.job["input"])}
    context: Any = {"ti": SimpleNamespace(dag_id="d", task_id="t"), "params": {"x": 1}}
    task._do_render_template_fields(task, task.template_fields, context, dag.get_template_env(), seen)
    assert task.job == {**rest, "input": "/{{ b }}", "revision": "20231023", "prompt": 1 if native else "1"}


def test_secret_is_refused_when_airflow_reads_the_dag() -> None:
    for name in ("input", "output", "result_path"):
        for operator in (EmbedOperator, EmbedOperator.partial):
            with pytest.raises(SpecError, match=rf"{name} is s3a://\*\*\*@bucket") as caught:
                operator(task_id="t", **{**COLUMN, name: "s3a://KEY:SECRET@bucket/{{ ds }}"})
            assert "SECRET" not in str(caught.value)


def test_secret_of_a_template_is_masked_and_refused() -> None:
    with DAG("d"):
        task = EmbedOperator(task_id="t", **{**COLUMN, "input": "s3a://{{ params.x }}@bucket/x"})
    render(task, {"x": "KEY:SECRET"})
    assert "SECRET" not in str(redact(task.job)) + str(redact("Spark-Submit cmd: --input=s3a://KEY:SECRET@bucket/x"))
    with pytest.raises(AirflowFailException, match="input is s3a") as caught:
        task.execute({})
    assert "SECRET" not in str(caught.value)

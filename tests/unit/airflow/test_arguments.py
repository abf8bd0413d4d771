"""The fields of a job as keyword arguments: signatures, and values from templates."""

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_airflow import arguments
from st_spark.errors import SpecError
from st_spark.specs.jobs import EmbedJob, JoinJob

EMBED = {"input": "/in", "output": "/out", "model": "m", "text_column": "text"}
JOIN = {"left": "/left", "output": "/out"}


def test_the_signature_has_each_field_and_says_which_are_needed() -> None:
    parameters = inspect.signature(EmbedJob).parameters
    found = arguments.signature(EmbedJob).parameters
    assert set(found) == {"self", "kwargs", *parameters}
    assert {name for name, each in found.items() if each.default is each.empty} == {"self", "kwargs", *EMBED}


def test_each_field_is_described() -> None:
    told = arguments.described(EmbedJob)
    assert all(f"    {name}: " in told for name in arguments.names(EmbedJob))


def test_text_from_a_template_becomes_a_value_of_the_fields_type() -> None:
    given_ = {**EMBED, "truncate_dim": "64", "normalize_embeddings": "True", "text_column": ["title", "text"]}
    job = arguments.job(EmbedJob, given_)
    assert job == EmbedJob(
        input="/in",
        output="/out",
        model="m",
        text_column=("title", "text"),
        truncate_dim=64,
        normalize_embeddings=True,
    )


@pytest.mark.parametrize("nothing", [None, "", "None"])
def test_an_optional_parameter_that_is_left_empty_takes_the_default(nothing: str | None) -> None:
    job = arguments.job(JoinJob, {**JOIN, "k": nothing, "recall": nothing, "threshold": "0.5"})
    assert (vars(job)["k"], vars(job)["recall"], vars(job)["threshold"]) == (None, 0.95, 0.5)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("k", "ten", "k is 'ten'. Fix: give a number (int)."),
        ("threshold", "high", "threshold is 'high'. Fix: give a number (float)."),
        ("method", "exakt", "did you mean 'exact'"),
        ("k", "0", "k is 0."),
    ],
)
def test_a_wrong_value_is_one_clear_error(field: str, value: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        arguments.job(JoinJob, {**JOIN, field: value})
    assert said in str(caught.value)


def test_a_needed_field_that_renders_to_nothing_is_an_error() -> None:
    with pytest.raises(SpecError, match="embed needs model"):
        arguments.job(EmbedJob, {**EMBED, "model": None})


@given(st.integers(1, 10**6), st.floats(-1, 1), st.sampled_from(["exact", "ivf"]))
def test_a_job_rendered_to_text_and_back_is_the_same_job(k: int, threshold: float, method: str) -> None:
    job = JoinJob(left="/left", output="/out", k=k, threshold=threshold, method=method)
    rendered = {
        name: str(value) for name, value in json.loads(job.to_json()).items() if name != "job" and value is not None
    }
    assert arguments.job(JoinJob, rendered) == job

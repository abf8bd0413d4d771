"""The arguments of operators: signatures, and values from templates."""

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_airflow import arguments
from st_spark.errors import SpecError
from st_spark.specs.pair_jobs import JoinJob
from st_spark.specs.row_jobs import EmbedJob

EMBED = {"input": "/in", "output": "/out", "model": "m", "text_column": "text"}
JOIN = {"left": "/left", "output": "/out"}


def test_signature_has_each_field_and_its_default() -> None:
    parameters = inspect.signature(EmbedJob).parameters
    found = arguments.signature(EmbedJob).parameters
    assert set(found) == {"self", "kwargs", *parameters}
    assert {name for name, each in found.items() if each.default is each.empty} == {"self", "kwargs", *EMBED}


def test_docstring_has_each_field() -> None:
    lines = arguments.docstring(EmbedJob)
    assert all(f"    {name}: " in lines for name in arguments.names(EmbedJob))
    assert "ID column of the right table (default: id_column)." in arguments.docstring(JoinJob)


def test_rendered_text_becomes_the_type_of_the_field() -> None:
    given_: dict[str, object] = {
        **EMBED,
        "truncate_dim": "64",
        "normalize_embeddings": "True",
        "text_column": ["title", "text"],
    }
    given_ |= {"max_seq_length": "256", "batch_size": 8.0}
    job = arguments.job(EmbedJob, given_)
    assert job == EmbedJob(
        input="/in",
        output="/out",
        model="m",
        text_column=("title", "text"),
        truncate_dim=64,
        normalize_embeddings=True,
        max_seq_length=256,
        batch_size=8,
    )
    assert {"--max-seq-length=256", "--batch-size=8"} <= set(job.to_argv())


@pytest.mark.parametrize("nothing", [None, "", "None"])
def test_empty_optional_argument_takes_the_default(nothing: str | None) -> None:
    job = arguments.job(JoinJob, {**JOIN, "k": nothing, "recall": nothing, "threshold": "0.5"})
    assert (vars(job)["k"], vars(job)["recall"], vars(job)["threshold"]) == (None, 0.95, 0.5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("k", "ten", "k is 'ten'. Fix: give an integer."),
        ("threshold", "high", "threshold is 'high'. Fix: give a number."),
        ("method", "exakt", "did you mean 'exact'"),
        ("k", "0", "k is 0."),
    ],
)
def test_wrong_value_is_an_error_with_a_fix(field: str, value: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        arguments.job(JoinJob, {**JOIN, field: value})
    assert message in str(caught.value)


def test_empty_required_argument_is_an_error() -> None:
    with pytest.raises(SpecError, match="embed needs model"):
        arguments.job(EmbedJob, {**EMBED, "model": None})


@given(st.integers(1, 10**6), st.floats(-1, 1), st.sampled_from(["exact", "ivf"]))
def test_job_survives_rendering_to_text(k: int, threshold: float, method: str) -> None:
    job = JoinJob(left="/left", output="/out", k=k, threshold=threshold, method=method)
    rendered = {
        name: str(value) for name, value in json.loads(job.to_json()).items() if name != "job" and value is not None
    }
    assert arguments.job(JoinJob, rendered) == job

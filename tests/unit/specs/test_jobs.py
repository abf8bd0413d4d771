"""Jobs as JSON and as arguments, and the errors of wrong fields."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.choices import DTYPES, FORMATS_IN, FORMATS_OUT, MODES, PRECISIONS
from st_spark.errors import SpecError
from st_spark.specs.jobs import EmbedJob, SearchJob

NEEDED: dict[str, Any] = {"input": "in.csv", "output": "out", "model": "m", "text_column": "text"}
TEXT = st.text(min_size=1, max_size=8)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def embed_jobs(draw: st.DrawFn) -> EmbedJob:
    columns = draw(TEXT | st.tuples(TEXT, TEXT))
    taken = set(columns) if isinstance(columns, tuple) else {columns}
    id_column = draw(maybe(TEXT))
    prompt = draw(maybe(st.text(max_size=8)))
    return EmbedJob(
        input=draw(TEXT),
        output=draw(TEXT),
        model=draw(TEXT),
        text_column=columns,
        id_column=id_column,
        input_format=draw(maybe(st.sampled_from(FORMATS_IN))),
        output_format=draw(st.sampled_from(FORMATS_OUT)),
        mode=draw(st.sampled_from(MODES)),
        output_column=draw(TEXT.filter(lambda name: name not in {*taken, id_column})),
        revision=draw(maybe(st.text(max_size=8))),
        dtype=draw(st.sampled_from(DTYPES)),
        prompt=prompt,
        prompt_name=None if prompt is not None else draw(maybe(st.text(max_size=8))),
        normalize_embeddings=draw(st.booleans()),
        truncate_dim=draw(maybe(st.integers(min_value=1))),
        task=draw(maybe(st.text(max_size=8))),
        precision=draw(st.sampled_from(PRECISIONS)),
    )


@given(embed_jobs())
def test_embed_job_survives_json_and_argv(job: EmbedJob) -> None:
    assert EmbedJob.from_json(job.to_json()) == job
    assert EmbedJob.from_argv(job.to_argv()) == job


SEARCHES = st.builds(
    SearchJob,
    query=TEXT,
    table=TEXT,
    k=st.integers(min_value=1),
    model=maybe(st.text(max_size=8)),
    column=maybe(st.text(max_size=8)),
)


@given(SEARCHES)
def test_search_job_survives_json_and_argv(job: SearchJob) -> None:
    assert SearchJob.from_json(job.to_json()) == job
    assert SearchJob.from_argv(job.to_argv()) == job


def test_typed_arguments_become_a_job() -> None:
    argv = "embed --input in.csv --output out --model m --text-column title --text-column text --mode append".split()
    job = EmbedJob.from_argv(argv)
    assert job == EmbedJob(input="in.csv", output="out", model="m", text_column=("title", "text"), mode="append")
    argv = ["search", "two words", "--table", "t", "-k", "3"]
    assert SearchJob.from_argv(argv) == SearchJob(query="two words", table="t", k=3)


def test_json_has_the_kind_and_may_leave_out_defaults() -> None:
    assert json.loads(EmbedJob(**NEEDED).to_json())["job"] == "embed"
    assert EmbedJob.from_json(json.dumps(NEEDED)) == EmbedJob(**NEEDED)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mode": "replace"}, "mode is 'replace'"),
        ({"mode": "overwrit"}, "did you mean 'overwrite'"),
        ({"output_format": "csv"}, "choose parquet, delta, table"),
        ({"text_colum": "text"}, "did you mean 'text_column'"),
        ({"input": None}, "needs input. Fix: give --input"),
        ({"input": ""}, "input is empty"),
        ({"text_column": ["a", "b", "c"]}, "text_column has 3 values"),
        ({"text_column": []}, "text_column has 0 values"),
        ({"truncate_dim": "64"}, "truncate_dim is '64'. Fix: give an integer"),
        ({"truncate_dim": True}, "truncate_dim is True"),
        ({"truncate_dim": 0}, "give 1 or more"),
        ({"normalize_embeddings": "yes"}, "normalize_embeddings is 'yes'. Fix: give true or false"),
        ({"prompt": "query: ", "prompt_name": "query"}, "Both prompt and prompt_name"),
        ({"output_column": "text"}, "output_column 'text' is an input column"),
        ({"job": "search"}, "is a job of kind 'search'"),
    ],
)
def test_wrong_field_is_an_error_with_a_fix(change: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        EmbedJob.from_json(json.dumps({**NEEDED, **change}))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["embed", "--imput", "x"], "did you mean '--input'"),
        (["embed", "--mode", "replace"], "invalid choice: 'replace'"),
        (["embed", "--truncate-dim", "many"], "invalid int value: 'many'"),
        (["embed", "--input", "in.csv"], "embed needs output"),
        (["search", "--table", "t"], "The arguments do not start with 'embed': ['search']"),
    ],
)
def test_wrong_arguments_are_an_error_with_a_fix(argv: list[str], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        EmbedJob.from_argv(argv)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_spec_must_be_a_json_object(text: str) -> None:
    with pytest.raises(SpecError, match="The spec is"):
        EmbedJob.from_json(text)


def test_search_needs_k_of_at_least_one() -> None:
    with pytest.raises(SpecError, match="k is 0"):
        SearchJob(query="q", table="t", k=0)


def test_specs_import_only_the_standard_library() -> None:
    heavy = ("torch", "pyspark", "numpy", "pyarrow")
    code = f"import st_spark.specs.jobs, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Vectors that a table has are used if the job's model made them; the log says so, or why they are not used."""

import logging
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import types as st

from st_spark.errors import InputError
from st_spark.model.checkpoint.files import fingerprint
from st_spark.specs.pair_jobs import DedupJob, JoinJob
from st_spark.steps.reuse import choose
from st_spark.tables.metadata import column_metadata

FLOATS = st.ArrayType(st.FloatType())


def table(*, text: bool = True, kind: st.DataType = FLOATS, **vectors: dict[str, Any] | None) -> st.StructType:
    """Return a schema with a text column, and a vector column for each recipe."""
    fields = [st.StructField("text", st.StringType())] if text else []
    fields += [
        st.StructField(name, kind, metadata=None if recipe is None else column_metadata(recipe))
        for name, recipe in vectors.items()
    ]
    return st.StructType(fields)


@pytest.fixture
def own(tiny_model: Path) -> dict[str, Any]:
    """The recipe of vectors of the job's model."""
    recipe = {"model": "models/tiny", "content": fingerprint(tiny_model), "prompt": "passage: "}
    return {**recipe, "text_columns": ["text"], "truncate_dim": 16}


@pytest.fixture
def join(tiny_model: Path) -> JoinJob:
    return JoinJob(left="questions", right="docs", output="o", model=str(tiny_model), text_column="text", prompt="q: ")


@pytest.fixture
def dedup(tiny_model: Path) -> DedupJob:
    return DedupJob(input="docs", output="o", model=str(tiny_model), text_column="text")


def chosen(schema: st.StructType, job: JoinJob | DedupJob, column: str | None = None, text: str = "text") -> str | None:
    return choose(schema, "docs", job, column, text).column


def test_vectors_of_the_model_are_used_and_named_in_the_log(
    own: dict[str, Any], join: JoinJob, dedup: DedupJob, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = {"model": "other", "content": "x"}
    for job in (join, dedup):
        assert chosen(table(embedding=own, old=other), job) == "embedding"
    assert (
        "Using the vectors of docs: column 'embedding', made by models/tiny with the prompt 'passage: '" in caplog.text
    )
    assert chosen(table(text=False, embedding=own), join) == "embedding"
    assert chosen(table(text=False, embedding=own), join, text="question") == "embedding"
    choice = choose(table(embedding=own), "docs", join, None, "text")
    assert choice.metadata["truncate_dim"] == 16


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"content": "x"}, "was made by other files of {model}"),
        ({"model": "m", "content": "x"}, "was made by m, not by {model}"),
        ({"model": "m", "content": "x", "prompt": "p"}, "was made by m with the prompt 'p', not by {model}"),
        ({"text_columns": ["title", "text"]}, "was made from title, text, not from text"),
        ({"content": None}, "does not say which model made it"),
    ],
)
def test_texts_are_embedded_if_the_vectors_are_others_and_the_log_says_why(
    own: dict[str, Any], dedup: DedupJob, change: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recipe = {**own, "model": dedup.model, "prompt": "", **change}
    assert chosen(table(embedding=recipe), dedup) is None
    assert f"Embedding the texts of docs: its column 'embedding' {says.format(model=dedup.model)}" in caplog.text
    if "text_columns" not in change:
        with pytest.raises(InputError, match=r"docs has no column 'text' to embed, and its vectors cannot be used: 'e"):
            chosen(table(text=False, embedding=recipe), dedup)


def test_one_table_with_another_prompt_is_embedded(own: dict[str, Any], dedup: DedupJob) -> None:
    job = DedupJob(**{**vars(dedup), "prompt": "passage: "})
    assert chosen(table(embedding=own), job) == "embedding"
    assert chosen(table(embedding=own), DedupJob(**{**vars(dedup), "prompt": "q: "})) is None
    assert chosen(table(embedding=own), DedupJob(**{**vars(dedup), "max_seq_length": 8})) is None


def test_columns_of_integers_and_tables_without_vectors_are_embedded(own: dict[str, Any], join: JoinJob) -> None:
    assert chosen(table(), join) is None
    assert chosen(table(kind=st.ArrayType(st.StringType()), words=None), join) is None
    assert chosen(table(kind=st.ArrayType(st.ByteType()), embedding=own), join) is None


def test_a_named_column_is_used_unless_another_model_made_it(own: dict[str, Any], join: JoinJob) -> None:
    schema = table(one=own, two=own, plain=None, other={"model": "m", "content": "x"})
    with pytest.raises(InputError, match=r"docs has 2 columns of vectors of .*: one, two\. Fix: name one: --column"):
        chosen(schema, join)
    assert chosen(schema, join, "two") == "two"
    assert chosen(schema, join, "plain") == "plain"
    with pytest.raises(InputError, match=r"docs was embedded with m \(content x\), --model with .*tiny"):
        chosen(schema, join, "other")

"""Mining jobs as JSON and as arguments, and the errors of wrong fields."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.choices import CANDIDATES, MARGINS, RETRIEVALS
from st_spark.errors import SpecError
from st_spark.specs.jobs import MineJob

NEEDED = {"source": "de", "target": "en", "output": "out"}
TEXT = st.text(min_size=1)
NAME = st.none() | TEXT


@given(st.data())
def test_mining_job_survives_json_and_argv(data: st.DataObject) -> None:
    names = ("target_id_column", "column", "document_column", "report", "source_language")
    others: dict[str, Any] = {name: data.draw(NAME) for name in names}
    job = MineJob(
        source=data.draw(TEXT),
        target=data.draw(TEXT),
        output=data.draw(TEXT),
        k=data.draw(st.integers(min_value=1)),
        margin=data.draw(st.sampled_from(MARGINS)),
        retrieval=data.draw(st.sampled_from(RETRIEVALS)),
        candidates=data.draw(st.sampled_from(CANDIDATES)),
        threshold=data.draw(st.floats(allow_nan=False, allow_infinity=False)),
        text_column="text",
        texts=data.draw(st.booleans()),
        **others,
    )
    assert MineJob.from_json(job.to_json()) == job
    assert MineJob.from_argv(job.to_argv()) == job


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"k": 0}, "k is 0"),
        ({"threshold": float("nan")}, "-1000 keeps every pair"),
        ({"margin": "cosine"}, "choose absolute, distance, ratio"),
        ({"retrieval": "intersection"}, "did you mean 'intersect'"),
        ({"model": "LaBSE"}, "model is given without text_column"),
        ({"tsv": "out.tsv"}, "tsv is given without text_column"),
        ({"model": "LaBSE", "text_column": "t", "target_column": "v"}, "Both a model and a vector column"),
        ({"tmx": "out.tmx", "text_column": "t", "source_language": "de"}, "tmx is given without both languages"),
        ({"language_column": "lang"}, "language_column is given without both languages"),
    ],
)
def test_wrong_field_is_an_error_with_a_fix(change: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        MineJob.from_json(json.dumps({**NEEDED, **change}))
    assert says in str(caught.value)


def test_typed_arguments_become_a_job() -> None:
    argv = "mine --source de --target en --output pairs --text-column text --margin distance --threshold 0.1 --texts"
    job = MineJob.from_argv(argv.split())
    assert job == MineJob(
        source="de", target="en", output="pairs", text_column="text", margin="distance", threshold=0.1, texts=True
    )
    assert job.tables() == [("de", None), ("en", None), ("pairs", "parquet")]

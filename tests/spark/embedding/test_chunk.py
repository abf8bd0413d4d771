"""chunk(column) and encode(column, pooling=...) on a real Spark session."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.sql import functions as sf

from st_spark import chunk, encode, register
from st_spark.embedding import udf
from st_spark.errors import InputError
from st_spark.model.encoder import SentenceTransformer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

LONG = "The cat sat on the mat. A dog 日本 é sat in the sun! " * 30


@pytest.mark.parametrize("flavour", ["arrow", "pandas"])
def test_chunks_are_rows_that_sql_finds_in_the_text(
    spark: "SparkSession", tiny_model: Path, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udf, "flavour", lambda: flavour)
    texts = [LONG, None, "", "the cat", LONG]
    docs = spark.createDataFrame(list(enumerate(texts)), "id int, text string").repartition(2, "id")
    cut = chunk("text", model=tiny_model, max_tokens=40, overlap=8)
    place = sf.expr("substring(text, chunk_start + 1, chunk_end - chunk_start)")
    rows = docs.select("*", sf.inline_outer(cut)).withColumn("there", place).orderBy("id", "chunk_index").collect()
    by_id: dict[int, list[Any]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
    assert [list(row[2:]) for row in by_id[1]] == [[None] * 6]
    assert [list(row[2:]) for row in by_id[2]] == [[0, 0, 0, 0, "", ""]]
    assert [list(row[2:]) for row in by_id[3]] == [[0, 0, 7, 2, "the cat", "the cat"]]
    assert [row[2:] for row in by_id[0]] == [row[2:] for row in by_id[4]]
    assert [row.chunk_index for row in by_id[0]] == list(range(len(by_id[0])))
    assert all(row.chunk_text == row.there and row.chunk_tokens <= 40 for row in by_id[0])
    assert by_id[0][-1].chunk_end == len(LONG)


def test_a_long_text_gets_one_vector(spark: "SparkSession", tiny_model: Path) -> None:
    docs = spark.createDataFrame([(0, LONG), (1, None), (2, "the cat"), (3, "")], "id int, text string")
    model = SentenceTransformer(tiny_model, dtype="float32", device="cpu")
    cut = docs.where("id = 0").select(sf.inline(chunk("text", model=tiny_model))).collect()
    vectors, tokens = model.encode([row.chunk_text for row in cut]), np.array([row.chunk_tokens for row in cut])
    mean = (vectors * tokens[:, None]).sum(0)
    options: dict[str, Any] = {"model": tiny_model, "dtype": "float32", "chunk": "auto"}
    made = docs.select(
        "id",
        encode("text", pooling="mean", details=True, **options).alias("mean"),
        encode("text", pooling="max", **options),
    )
    found = {row[0]: row[1:] for row in made.collect()}
    np.testing.assert_allclose(found[0][0].embedding, mean / np.linalg.norm(mean), atol=1e-5)
    highest = vectors.max(0)
    np.testing.assert_allclose(found[0][1], highest / np.linalg.norm(highest), atol=1e-5)
    assert found[0][0].n_tokens == tokens.sum() + 2 * len(cut)
    assert not found[0][0].truncated
    assert found[1] == (None, None)
    for row, text in ((2, "the cat"), (3, "")):
        np.testing.assert_allclose([found[row][0].embedding, found[row][1]], model.encode([text, text]), atol=1e-6)


def test_wrong_options_are_refused_before_any_job(spark: "SparkSession", tiny_model: Path) -> None:
    def refusal(columns: Any = "text", **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            encode(columns, model=tiny_model, **options)
        return str(caught.value)

    with pytest.raises(InputError, match=r"A chunk of 63 tokens is more than the model reads.*Fix: give at most 62\."):
        chunk("text", model=tiny_model, max_tokens=63)
    assert (
        refusal(pooling="mean")
        == "pooling='mean' is given without chunk. Fix: add chunk=\"auto\", or a number of tokens."
    )
    assert "overlap=5 is given without chunk." in refusal(overlap=5)
    assert "encode() returns one vector for a text. Fix: give pooling" in refusal(chunk=20)
    assert "pairs are not cut. Fix: give one column." in refusal(["title", "text"], chunk=20, pooling="mean")
    assert "pooling='sum' is unknown. Fix: choose one of none, mean, max." in refusal(chunk=20, pooling="sum")
    assert "The overlap of 20 tokens is not shorter than a chunk of 20." in refusal(chunk=20, overlap=20, pooling="max")


def test_an_sql_function_that_cuts_texts_refuses_pairs(spark: "SparkSession", tiny_model: Path) -> None:
    """Also short ones, which need no cut."""
    register(spark, "embed_long", model=tiny_model, chunk=20, pooling="mean")
    assert spark.sql("SELECT embed_long('the cat')").count() == 1
    with pytest.raises(Exception, match="pairs are not cut"):
        spark.sql("SELECT embed_long('the cat', 'sat')").collect()

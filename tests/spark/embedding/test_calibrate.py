"""Quantised vectors on Spark: their types, and ranges from a sample of the texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark import calibrate, encode
from st_spark.choices import RANGED
from st_spark.embedding import udf
from st_spark.errors import InputError
from st_spark.model.encoder import SentenceTransformer
from st_spark.model.quantization import quantise, ranges_of
from tests.support.word_checkpoints import write_router

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow
TEXTS = ["the cat sat", None, "", "a river of sun", "the cat sat", "rain " * 100, "日本 é"]
DIFFERENT = [text for text in dict.fromkeys(TEXTS) if text is not None]


@pytest.fixture(scope="module")
def docs(spark: "SparkSession") -> "DataFrame":
    return spark.createDataFrame(list(enumerate(TEXTS)), "id int, `a.text` string").repartition(3, "id")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    return SentenceTransformer(tiny_model, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def ranges(model: SentenceTransformer) -> Any:
    return ranges_of(model.encode(DIFFERENT))


def in_order(frame: "DataFrame", column: Any) -> list[Any]:
    return [row.value for row in frame.select("id", column.alias("value")).orderBy("id").collect()]


def one_place_off_at_most(found: Any, wanted: Any) -> bool:
    """Assert that codes differ by at most 1: rounding depends on the other texts of the batch."""
    off = np.abs(np.asarray(found, int) - np.asarray(wanted, int))
    return bool(off.max() <= 1 and (off == 0).mean() > 0.98)


KINDS = {"int8": "tinyint", "uint8": "smallint", "binary": "tinyint", "ubinary": "smallint"}


@pytest.mark.parametrize("flavour", ["arrow", "pandas"])
def test_quantised_columns_equal_quantised_vectors_of_the_model(
    docs: "DataFrame",
    tiny_model: Path,
    model: SentenceTransformer,
    ranges: Any,
    monkeypatch: pytest.MonkeyPatch,
    flavour: str,
) -> None:
    monkeypatch.setattr(udf, "flavour", lambda: flavour)
    given = {precision: ranges if precision in RANGED else None for precision in KINDS}
    columns = [
        encode("`a.text`", model=tiny_model, dtype="float32", precision=precision, ranges=given[precision])
        for precision in KINDS
    ]
    query = docs.select("id", *(column.alias(name) for column, name in zip(columns, KINDS, strict=True)))
    assert query.dtypes[1:] == [(precision, f"array<{kind}>") for precision, kind in KINDS.items()]
    found = query.orderBy("id").collect()
    vectors = model.encode([text for text in TEXTS if text is not None])
    for precision in KINDS:
        assert [row[precision] is None for row in found] == [text is None for text in TEXTS]
        wanted = quantise(vectors, precision, given[precision])
        rows = [row[precision] for row in found if row[precision] is not None]
        assert one_place_off_at_most(rows, wanted) if precision in RANGED else np.array_equal(rows, wanted)


def test_details_of_quantised_vectors_have_the_same_fields(docs: "DataFrame", tiny_model: Path, ranges: Any) -> None:
    column = encode("`a.text`", model=tiny_model, details=True, precision="int8", ranges=ranges.tolist())
    kind = docs.select(column.alias("value")).dtypes[0][1]
    assert kind == "struct<embedding:array<tinyint>,n_tokens:int,truncated:boolean>"
    assert [None if row is None else row.truncated for row in in_order(docs, column)] == [
        *[False, None, False, False, False, True, False]
    ]


def test_ranges_of_a_small_table_cover_all_texts(docs: "DataFrame", tiny_model: Path, ranges: Any) -> None:
    found = calibrate(docs, "a.text", model=tiny_model, dtype="float32")
    assert found.shape == (2, 32)
    np.testing.assert_allclose(found, ranges, atol=1e-6)


def test_the_sample_does_not_depend_on_order_or_repeated_texts(spark: "SparkSession", tiny_model: Path) -> None:
    texts = [f"the cat {i}" for i in range(300)]
    once = spark.createDataFrame([(text,) for text in texts], "text string").repartition(1)
    mixed = spark.createDataFrame([(text,) for text in texts[::-1] + texts[:1] * 2000], "text string").repartition(5)
    found = [calibrate(df, "text", model=tiny_model, dtype="float32", rows=40) for df in (once, mixed)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    whole = calibrate(once, "text", model=tiny_model, dtype="float32")
    assert (whole[0] <= found[0] + 1e-6).all() and (whole[1] >= found[1] - 1e-6).all()
    assert (whole[0] < found[0] - 1e-4).any()


def test_wrong_options_are_an_error_on_the_driver(spark: "SparkSession", docs: "DataFrame", tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"precision='int8' needs ranges.* Fix: give ranges=calibrate\(df, column"):
        encode("text", model=tiny_model, precision="int8")
    with pytest.raises(InputError, match=r"shape \(32,\), not \(2, d\)"):
        encode("text", model=tiny_model, precision="uint8", ranges=np.zeros(32))
    with pytest.raises(InputError, match="precision='int4' is unknown"):
        encode("text", model=tiny_model, precision="int4")
    with pytest.raises(InputError, match="has no column 'text'"):
        calibrate(docs, "text", model=tiny_model)
    one = spark.createDataFrame([("a",), (None,), ("a",)], "text string")
    with pytest.raises(InputError, match="text: 1 different texts have a vector"):
        calibrate(one, "text", model=tiny_model)


def test_the_task_selects_the_route_of_a_router(docs: "DataFrame", tmp_path: Path) -> None:
    folder = write_router(tmp_path)
    alone = SentenceTransformer(folder, dtype="float32", device="cpu")
    for task in ("query", "document"):
        found = in_order(docs, encode("`a.text`", model=folder, dtype="float32", task=task))
        np.testing.assert_allclose(found[0], alone.encode("the cat sat", task=task), atol=1e-5)
    with pytest.raises(InputError, match=r"no route for the task 'answer'.*task='query' or 'document'"):
        encode("text", model=folder, task="answer")

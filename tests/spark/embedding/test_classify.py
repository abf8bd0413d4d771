"""classify() on Spark: labels of texts and images, with the scores of sentence-transformers."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from st_spark import classify
from st_spark.embedding import udf
from st_spark.errors import InputError
from tests.support.clip_checkpoints import opened, oracle

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(params=["arrow", "pandas"])
def flavour(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(udf, "flavour", lambda: request.param)
    return str(request.param)


@pytest.mark.slow
def test_images_get_the_labels_and_scores_of_sentence_transformers(
    flavour: str,
    digit_images: "DataFrame",
    digits: Path,
    tiny_clip: Path,
) -> None:
    from sentence_transformers import util

    template = "a photo of the number {}"
    found = digit_images.withColumn(
        "class", classify("content", DIGITS, model=tiny_clip, dtype="float32", template=template)
    )
    assert found.schema["class"].dataType.simpleString() == "struct<label:string,score:float,scores:array<float>>"
    by_name = {row["name"]: row["class"] for row in found.collect()}
    shown, peer = opened(digits), oracle(tiny_clip)
    labels = peer.encode([template.replace("{}", digit) for digit in DIGITS])
    expected = util.cos_sim(peer.encode(list(shown.values())), labels).numpy()
    np.testing.assert_allclose([by_name[name]["scores"] for name in shown], expected, atol=1e-5)
    assert [by_name[name]["label"] for name in shown] == [DIGITS[i] for i in expected.argmax(axis=1)]
    np.testing.assert_allclose([by_name[name]["score"] for name in shown], expected.max(axis=1), atol=1e-5)
    bad = [tuple(by_name[name]) for name in by_name if name not in shown]
    assert bad == [(None, None, None)] * 2


@pytest.mark.slow
def test_texts_are_classified_by_a_model_of_texts(flavour: str, spark: "SparkSession", minilm: Path) -> None:
    texts = ["The striker scored twice.", None, "Parliament passed the bill.", "The oven must be hot."]
    frame = spark.createDataFrame([(text,) for text in texts], "text string").coalesce(1)
    found = frame.select("text", classify("text", ["sport", "politics", "cooking"], model=minilm).alias("c")).collect()
    assert [row["c"] and row["c"]["label"] for row in found] == ["sport", None, "politics", "cooking"]


@pytest.mark.slow
def test_wrong_labels_and_options_are_an_error_on_the_driver(spark: "SparkSession", tiny_model: Path) -> None:
    with pytest.raises(InputError, match="repeated"):
        classify("text", ["a", "a"], model=tiny_model)
    with pytest.raises(InputError, match="no place for the label"):
        classify("text", ["a"], model=tiny_model, template="a photo")
    with pytest.raises(InputError, match="unknown"):
        classify("text", ["a"], model=tiny_model, dtype="int4")

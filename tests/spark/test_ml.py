"""SentenceEncoder in pipelines of pyspark.ml, saved and loaded."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import SQLTransformer, VectorAssembler

from st_spark.errors import InputError
from st_spark.ml import SentenceEncoder
from st_spark.model.encoder import SentenceTransformer
from st_spark.model.quantization import quantise
from tests.support.word_checkpoints import write_router

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def docs(spark: "SparkSession") -> "DataFrame":
    """Texts of two classes."""
    rows = [("the cat sat", 0.0), ("the dog sat", 0.0), ("sun and rain", 1.0), ("moon and sun", 1.0)] * 3
    return spark.createDataFrame(rows, "text string, label double").coalesce(1)


def test_the_transformer_adds_the_vectors_of_the_model(docs: "DataFrame", tiny_model: Path) -> None:
    encoder = SentenceEncoder(inputCol="text", outputCol="e", model=str(tiny_model), dtype="float32", truncateDim=8)
    rows = encoder.transform(docs).collect()
    expected = SentenceTransformer(tiny_model, dtype="float32").encode([row.text for row in rows], truncate_dim=8)
    np.testing.assert_allclose([row.e for row in rows], expected, atol=1e-5)


@pytest.mark.parametrize("task", ["query", "document"])
def test_task_limits_and_precision_reach_the_model(docs: "DataFrame", tmp_path: Path, task: str) -> None:
    folder = write_router(tmp_path / "router")
    model = SentenceTransformer(folder, dtype="float32")
    model.max_seq_length = 4
    texts = [row.text for row in docs.collect()]
    vectors = model.encode(texts, task=task)
    options: dict[str, Any] = {"task": task, "maxSeqLength": 4, "batchSize": 2, "dtype": "float32"}
    encoder = SentenceEncoder(inputCol="text", model=str(folder), precision="int8", **options)
    ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    rows = encoder.setParams(ranges=ranges).transform(docs).collect()
    off = np.array([row.embedding for row in rows]) - quantise(vectors, "int8", ranges)
    assert np.abs(off).max() <= 1


def test_an_encoder_that_an_earlier_version_saved_loads(docs: "DataFrame", tiny_model: Path, tmp_path: Path) -> None:
    """Its metadata lack the newer parameters."""
    SentenceEncoder(inputCol="text", model=str(tiny_model), truncateDim=8).save(str(tmp_path / "saved"))
    [file] = (tmp_path / "saved" / "metadata").glob("part-*")
    stored = json.loads(file.read_text())
    assert set(stored["paramMap"]) == {"inputCol", "model", "truncateDim"}
    assert set(stored["defaultParamMap"]) == {"dtype", "normalizeEmbeddings", "shipping", "outputCol"}
    assert stored["class"] == "st_spark.ml.SentenceEncoder"
    row = SentenceEncoder.load(str(tmp_path / "saved")).transform(docs).first()
    assert row is not None
    assert len(row.embedding) == 8


def test_a_column_name_with_a_dot_works(docs: "DataFrame", tiny_model: Path) -> None:
    encoder = SentenceEncoder(inputCol="raw.text", model=str(tiny_model))
    row = encoder.transform(docs.withColumnRenamed("text", "raw.text")).first()
    assert row is not None
    assert len(row.embedding) == 32


def test_a_saved_pipeline_with_a_classifier_predicts_as_before(
    docs: "DataFrame", tiny_model: Path, tmp_path: Path
) -> None:
    encoder = SentenceEncoder(inputCol="text", model=str(tiny_model), normalizeEmbeddings=True, truncateDim=8)
    columns = ", ".join(f"embedding[{place}] AS e{place}" for place in range(8))
    split = SQLTransformer(statement=f"SELECT *, {columns} FROM __THIS__")
    features = VectorAssembler(inputCols=[f"e{place}" for place in range(8)], outputCol="features")
    stages: list[Any] = [encoder, split, features, LogisticRegression(maxIter=5)]
    fitted = Pipeline(stages=stages).fit(docs)
    fitted.write().overwrite().save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    before = [row.prediction for row in fitted.transform(docs).collect()]
    assert [row.prediction for row in loaded.transform(docs).collect()] == before
    assert before == [row.label for row in docs.collect()]
    assert loaded.stages[0].extractParamMap() == {
        loaded.stages[0].getParam(param.name): value for param, value in encoder.extractParamMap().items()
    }


@pytest.mark.parametrize("name", ["label", "LABEL"])
def test_a_column_of_the_data_is_not_replaced(docs: "DataFrame", tiny_model: Path, name: str) -> None:
    with pytest.raises(InputError, match="has a column 'label' already"):
        SentenceEncoder(inputCol="text", outputCol=name, model=str(tiny_model)).transform(docs)


def test_a_missing_parameter_or_column_or_a_wrong_type_is_an_error(docs: "DataFrame", tiny_model: Path) -> None:
    with pytest.raises(InputError, match="'model' is not set"):
        SentenceEncoder(inputCol="text").transform(docs)
    with pytest.raises(InputError, match=r"no column 'words'.*text, label"):
        SentenceEncoder(inputCol="words", model=str(tiny_model)).transform(docs)
    with pytest.raises(InputError, match="'label' holds double, not strings"):
        SentenceEncoder(inputCol="label", model=str(tiny_model)).transform(docs)

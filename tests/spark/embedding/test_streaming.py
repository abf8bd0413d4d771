"""encode() inside a Structured Streaming query."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from st_spark import encode
from st_spark.model.encoder import SentenceTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow


def run(spark: "SparkSession", folder: Path, model: Path) -> "DataFrame":
    """Encode new files in folder/in, and return all rows of folder/out."""
    stream = spark.readStream.schema("id int, text string").option("maxFilesPerTrigger", 1).json(str(folder / "in"))
    writer = (
        stream.withColumn("e", encode("text", model=model, dtype="float32"))
        .writeStream.format("parquet")
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
    )
    writer.start(str(folder / "out")).awaitTermination()
    return spark.read.parquet(str(folder / "out"))


def test_each_new_file_is_encoded_once_also_after_a_restart(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    texts = ["the cat sat", "sun and rain", "a river", None]
    files = ["".join(f'{{"id": {i}, "text": {_json(texts[i])}}}\n' for i in ids) for ids in ((0, 1), (2,), (3,))]
    (tmp_path / "in").mkdir()
    for number in (0, 1):
        (tmp_path / "in" / f"{number}.json").write_text(files[number])
    assert run(spark, tmp_path, tiny_model).count() == 3
    (tmp_path / "in" / "2.json").write_text(files[2])
    rows = run(spark, tmp_path, tiny_model).orderBy("id").collect()
    assert [row.id for row in rows] == [0, 1, 2, 3]
    assert rows[3].e is None
    expected = SentenceTransformer(tiny_model, dtype="float32").encode([text for text in texts if text])
    np.testing.assert_allclose([row.e for row in rows[:3]], expected, atol=1e-5)


def test_the_model_is_broadcast_once_for_all_micro_batches(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    from st_spark.embedding import send_model
    from st_spark.model.checkpoint.checkpoint import fingerprint

    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.json").write_text(f'{{"id": {number}, "text": "cat {number}"}}\n')
    stream = spark.readStream.schema("id int, text string").option("maxFilesPerTrigger", 1).json(str(tmp_path / "in"))
    pieces: list[set[int]] = []
    counts: list[int] = []

    def encode_batch(batch: "DataFrame", number: int) -> None:
        vectors = batch.select(encode("text", model=tiny_model, shipping="broadcast").alias("e"))
        counts.append(vectors.where("size(e) = 32").count())
        sent = send_model._sent[spark.sparkContext.applicationId]
        pieces.append({id(piece) for piece in sent[fingerprint(tiny_model)]})

    stream.writeStream.foreachBatch(encode_batch).trigger(availableNow=True).start().awaitTermination()
    assert counts == [1, 1, 1]
    assert pieces[0] == pieces[1] == pieces[2]


def _json(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'

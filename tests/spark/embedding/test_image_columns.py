"""Columns of images with nulls, repeats and files that are not images; search by a text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from st_spark import SentenceTransformer
from st_spark.embedding.arrow_encode import EncodeOptions, encode_arrays
from st_spark.errors import InputError
from tests.support.clip_checkpoints import file_of, opened, oracle, pictures

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

IMAGES = EncodeOptions(images=True)


@pytest.fixture(scope="module")
def model(tiny_clip: Path) -> SentenceTransformer:
    return SentenceTransformer(tiny_clip, device="cpu", dtype="float32")


def rows(model: SentenceTransformer, column: Any, options: EncodeOptions = IMAGES) -> list[Any]:
    return [row for array in encode_arrays(model, iter([column]), options) for row in array.to_pylist()]


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())]
)
def test_images_of_any_arrow_layout_get_their_vectors(model: SentenceTransformer, kind: pa.DataType) -> None:
    files = [file_of(pictures()[name]) for name in ("exact", "landscape", "grey")]
    column = pa.array([files[0], None, files[1], files[0], files[2]], pa.binary()).cast(kind)
    found = rows(model, column)
    assert found[1] is None
    expected = model.encode([files[0], files[1], files[0], files[2]])
    assert np.abs(np.array([found[i] for i in (0, 2, 3, 4)]) - expected).max() <= 1e-6


def test_an_image_that_cannot_be_read_gives_a_null_vector_and_its_reason(model: SentenceTransformer) -> None:
    good = file_of(pictures()["exact"])
    column = pa.array([b"junk", good, None, b"", b"junk"], pa.binary())
    assert [row is not None for row in rows(model, column)] == [False, True, False, False, False]
    found = rows(model, column, EncodeOptions(images=True, details=True, counts=True))
    assert found[2] is None
    assert found[1]["problem"] is None and len(found[1]["embedding"]) == 24 and found[1]["n_tokens"] == 17
    for row in (0, 3, 4):
        assert found[row]["embedding"] is None
        assert found[row]["n_tokens"] == 0
        assert found[row]["problem"].startswith("the file cannot be read as an image: UnidentifiedImageError")
    assert [row and row["duplicate"] for row in found] == [False, False, None, False, True]


def test_images_for_a_text_model_are_an_error() -> None:
    with pytest.raises(InputError, match=r"holds binary, not strings. Fix: choose a CLIP model if it holds images"):
        rows(None, pa.array([b"junk"], pa.binary()), EncodeOptions())  # type: ignore[arg-type]  # it is not asked


def test_texts_of_a_clip_model_stay_texts(model: SentenceTransformer, tmp_path: Path) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(file_of(pictures()["landscape"]))
    found = rows(model, pa.array([str(file), None, "a cat"]))
    assert found[1] is None
    assert np.abs(np.array([found[0], found[2]]) - model.encode([str(file), "a cat"])).max() <= 1e-6


@pytest.fixture(scope="module")
def peer(tiny_clip: Path) -> Any:
    return oracle(tiny_clip)


@pytest.mark.slow
def test_images_on_spark_get_the_vectors_of_sentence_transformers(
    digit_images: "DataFrame", digits: Path, tiny_clip: Path, peer: Any
) -> None:
    from st_spark import encode

    found = digit_images.withColumn("e", encode("content", model=tiny_clip, dtype="float32", details=True)).collect()
    by_name = {row["name"]: row["e"] for row in found}
    shown = opened(digits)
    assert {name for name, e in by_name.items() if e["embedding"] is None} == {"bad-cut.png", "bad-text.png"}
    assert all((e["problem"] is None) == (name in shown) for name, e in by_name.items())
    ours = np.array([by_name[name]["embedding"] for name in shown], np.float32)
    assert np.abs(ours - peer.encode(list(shown.values()))).max() <= 1e-5


@pytest.mark.slow
def test_search_by_text_and_by_image_finds_what_sentence_transformers_finds(
    digit_images: "DataFrame", digits: Path, tiny_clip: Path, peer: Any
) -> None:
    from sentence_transformers import util

    from st_spark import encode
    from st_spark.jobs.search import top_k

    shown = opened(digits)
    theirs = peer.encode(list(shown.values()), convert_to_tensor=True)
    vectors = digit_images.select("name", encode("content", model=tiny_clip, dtype="float32").alias("embedding"))
    ours = SentenceTransformer(tiny_clip, device="cpu", dtype="float32")
    queries = (("a picture of the sun", "a picture of the sun"), (digits / "07-7.png", shown["07-7.png"]))
    for query, for_peer in queries:
        expected = util.semantic_search(peer.encode(for_peer, convert_to_tensor=True), theirs, top_k=5)[0]
        hits, counts = top_k(vectors, "embedding", ours.encode(query).astype(np.float64), k=5, id_column="name")
        assert [row["name"] for _, row in hits] == [list(shown)[int(hit["corpus_id"])] for hit in expected]
        np.testing.assert_allclose([score for score, _ in hits], [hit["score"] for hit in expected], atol=1e-5)
        assert counts == {"in": 62, "null": 2, "nan": 0, "dimension": 0}
        assert isinstance(query, str) or hits[0][1]["name"] == "07-7.png"


@pytest.mark.slow
def test_sql_and_a_pipeline_read_images_too(digit_images: "DataFrame", tiny_clip: Path, spark: "SparkSession") -> None:
    from st_spark import register
    from st_spark.ml import SentenceEncoder

    register(spark, "embed_image", model=tiny_clip, dtype="float32")
    digit_images.createOrReplaceTempView("digit_images")
    in_sql = spark.sql("SELECT name, embed_image(content) AS v FROM digit_images ORDER BY name").collect()
    stage = SentenceEncoder(inputCol="content", outputCol="v", model=str(tiny_clip), dtype="float32")
    staged = stage.transform(digit_images).orderBy("name").collect()
    assert [row["v"] is None for row in in_sql] == [row["name"].startswith("bad") for row in in_sql]
    for one, other in zip(in_sql, staged, strict=True):
        assert (one["v"] is None) == (other["v"] is None)
        assert one["v"] is None or np.abs(np.array(one["v"]) - np.array(other["v"])).max() <= 1e-5


@pytest.mark.slow
def test_images_for_a_text_model_are_an_error_on_spark(digit_images: "DataFrame", tiny_model: Path) -> None:
    from st_spark import encode

    with pytest.raises(Exception, match=r"holds (large_)?binary, not strings. Fix: choose a CLIP model"):
        digit_images.select(encode("content", model=tiny_model)).collect()

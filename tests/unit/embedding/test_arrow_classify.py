"""Zero-shot classification of Arrow arrays: the most similar label, all scores, rows without a label."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark import SentenceTransformer
from st_spark.embedding.arrow_classify import Classifier, Labels, class_type, classify_arrays
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.errors import InputError
from tests.support import clip_checkpoints
from tests.support.clip_checkpoints import file_of, pictures

NAMES = ("the weather", "people in a city", "spark tables")
TEXTS: list[Any] = [
    "the sun and the rain",
    None,
    "people live in london",
    "a table in spark",
    "the sun and the rain",
    "",
]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    return SentenceTransformer(tiny_model, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    folder = clip_checkpoints.write_clip(tmp_path_factory.mktemp("clip") / "model")
    return SentenceTransformer(folder, device="cpu", dtype="float32")


def rows(classifier: Classifier, column: Any, options: EncodeOptions | None = None) -> list[Any]:
    arrays = list(classify_arrays(classifier, iter([column]), options or EncodeOptions()))
    assert {array.type for array in arrays} <= {class_type(options or EncodeOptions(), classifier.labels)}
    return [row for array in arrays for row in array.to_pylist()]


def test_each_text_gets_its_most_similar_label_and_all_cosines(model: SentenceTransformer) -> None:
    found = rows(Classifier(model, Labels(NAMES)), pa.array(TEXTS))
    assert found[1] is None
    there = [row for row in found if row is not None]
    cosines = model.similarity(model.encode([text for text in TEXTS if text is not None]), model.encode(list(NAMES)))
    np.testing.assert_allclose([row["scores"] for row in there], cosines.numpy(), atol=1e-6)
    assert [row["label"] for row in there] == [NAMES[i] for i in cosines.argmax(dim=1).tolist()]
    assert [row["score"] for row in there] == [max(row["scores"]) for row in there]
    assert found[0] == found[4]


def test_the_model_reads_the_label_in_the_template(model: SentenceTransformer) -> None:
    labels = Labels(NAMES, "a sentence of {} {{}}")
    assert labels.texts[0] == "a sentence of the weather {the weather}"
    found = rows(Classifier(model, labels), pa.array(TEXTS[:1]))[0]
    cosines = model.similarity(model.encode(TEXTS[:1]), model.encode(labels.texts))[0]
    np.testing.assert_allclose(found["scores"], cosines.numpy(), atol=1e-6)
    assert found["label"] in NAMES


def test_images_get_labels_and_unreadable_ones_get_nulls(clip: SentenceTransformer) -> None:
    files = [file_of(pictures()["exact"]), b"junk", None, file_of(pictures()["grey"])]
    options = EncodeOptions(images=True, counts=True)
    found = rows(Classifier(clip, Labels(NAMES, "a photo of {}")), pa.array(files, pa.binary()), options)
    assert found[2] is None
    assert [found[1][name] for name in ("label", "score", "scores", "n_tokens")] == [None, None, None, 0]
    assert "cannot be read as an image" in found[1]["problem"]
    cosines = clip.similarity(clip.encode([files[0], files[3]]), clip.encode([f"a photo of {name}" for name in NAMES]))  # type: ignore[list-item]
    np.testing.assert_allclose([found[0]["scores"], found[3]["scores"]], cosines.numpy(), atol=1e-6)


def test_another_model_can_encode_the_labels(model: SentenceTransformer, tiny_model: Path) -> None:
    other = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    other.max_seq_length = 3  # so it reads only the first word: another text model of the same space
    found = rows(Classifier(model, Labels(NAMES), other), pa.array(TEXTS[:1]))[0]
    cosines = model.similarity(model.encode(TEXTS[:1]), other.encode(list(NAMES)))[0]
    np.testing.assert_allclose(found["scores"], cosines.numpy(), atol=1e-6)


def test_a_label_model_with_another_vector_size_is_an_error(
    model: SentenceTransformer, clip: SentenceTransformer
) -> None:
    with pytest.raises(InputError, match="Label vectors have 24 values, input vectors 32"):
        rows(Classifier(model, Labels(NAMES), clip), pa.array(["a text"]))


class Fixed:
    """A model that gives chosen vectors: zeros, NaN and ties."""

    def __init__(self, table: dict[str, list[float]]) -> None:
        self.table = table

    def embed(self, texts: list[Any], **options: Any) -> Any:
        """Return the vectors of the texts, with length 1."""
        from st_spark.model.encoder import Encoded

        vectors = np.array([self.table[text] for text in texts], np.float32)
        norms = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        vectors = np.divide(vectors, norms, out=vectors, where=norms > 0)
        return Encoded(vectors, np.full(len(texts), 3, np.int32), np.zeros(len(texts), np.bool_))


FIXED = Fixed({"zero": [0, 0], "nan": [np.nan, 1], "x": [2, 0], "y": [0, 3], "both": [1, 1], "x again": [1, 0]})


def test_equal_scores_give_the_first_label_and_zeros_or_nan_give_none() -> None:
    found = rows(Classifier(FIXED, Labels(("x", "y", "x again"))), pa.array(["both", "zero", "nan", "y"]))
    assert [row["label"] for row in found] == ["x", None, None, "y"]
    assert found[1]["score"] == 0 and found[1]["scores"] == [0, 0, 0]
    assert np.isnan(found[2]["score"])
    assert [row["label"] for row in rows(Classifier(FIXED, Labels(("x again", "y", "x"))), pa.array(["both"]))] == [
        "x again"
    ]


@given(st.lists(st.none() | st.sampled_from(["zero", "x", "y", "both"]), max_size=12), st.integers(1, 3))
def test_rows_keep_their_order_with_any_nulls(texts: list[str | None], labels: int) -> None:
    names = ("x", "y", "x again")[:labels]
    found = rows(Classifier(FIXED, Labels(names)), pa.array(texts, pa.string()))
    wide = rows(Classifier(FIXED, Labels(names, wide=True)), pa.array(texts, pa.string()))
    columns = ("x", "y", "x_again")[:labels]
    assert wide == [row and row | dict(zip(columns, row["scores"], strict=True)) for row in found]
    assert [row is None for row in found] == [text is None for text in texts]
    for text, row in zip(texts, found, strict=True):
        expected = {"zero": None, "x": "x", "both": "x", "y": "y" if labels > 1 else "x"}
        assert text is None or (row["label"] == expected[text] and len(row["scores"]) == labels)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a b", "a,b"), "Label 'a,b' needs the column 'a_b', which the label 'a b' has already"),
        (("Sport", "sport"), "Label 'sport' needs the column 'sport', which the label 'Sport' has already"),
        (("Score",), "Label 'Score' needs the column 'Score', which the field 'score' of the result has already"),
    ],
)
def test_labels_whose_columns_have_one_name_are_an_error(names: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        class_type(EncodeOptions(), Labels(names, wide=True))
    assert class_type(EncodeOptions(), Labels(names)) == class_type(EncodeOptions())


@pytest.mark.parametrize(
    ("names", "template", "says"),
    [
        ((), "{}", "There are no labels"),
        (("a", " "), "{}", "Label ' ' is blank"),
        (("a", 3), "{}", "Label 3 is not a str"),
        (("a", "b", "a"), "{}", "Label 'a' is repeated"),
        (("a", "b\udce9"), "{}", "has half a surrogate pair, '.udce9', at character 1"),
        (("a",), "{} \ud83d", "The template has half a surrogate pair"),
        (("a",), "a photo", "'a photo' has no place for the label"),
    ],
)
def test_wrong_labels_are_an_error(names: Any, template: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Labels(names, template)

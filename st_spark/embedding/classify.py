"""classify(column, labels): zero-shot classification of texts or images as a Spark column."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pyspark.sql import Column, SparkSession

from st_spark.embedding import udf
from st_spark.embedding.arrow_classify import Labels, class_type
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import active_session, prepare
from st_spark.embedding.send_model import send
from st_spark.errors import check_list

if TYPE_CHECKING:
    import os

    from pyspark.sql._typing import UserDefinedFunctionLike


def classify(  # noqa: PLR0913  (the options of encode, and labels)
    column: str | Column,
    labels: Sequence[str],
    *,
    model: "str | os.PathLike[str]",
    template: str = "{}",
    wide: bool = False,
    label_model: "str | os.PathLike[str] | None" = None,
    revision: str | None = None,
    dtype: str = "auto",
    prompt: str | None = None,
    max_seq_length: int | None = None,
    batch_size: int | None = None,
    shipping: str = "auto",
) -> Column:
    """Find the most similar label of each text or image, without training.

    This is the zero-shot classification of Sentence-Transformers: texts and labels are encoded and compared by cosine
    similarity. The scores are these similarities. They are no probabilities (there is no softmax), do not sum to 1,
    and with CLIP even good scores are about 0.3.

    Args:
        column: A string column; for CLIP models also a binary column of image files.
        labels: One or more different labels, such as ["sport", "politics"].
        model: A folder, "package:IMPORT_NAME", or a name on the hub.
        template: The text that the model reads for a label; "{}" is replaced by the label. "a photo of a {}" suits
            CLIP.
        wide: Also return a field for each label with its score, so that `best.*` selects a column a label. Spaces and
            the characters ,;{}()= in a label become _ in its name.
        label_model: Another model that encodes the labels, with the same vector space: clip-ViT-B-32-multilingual-v1
            reads labels in 50 languages for images that clip-ViT-B-32 encodes.
        revision: Branch, tag or commit of the model on the hub.
        dtype: "auto", "float32", "bfloat16", "float16" or "int8"; see SentenceTransformer.
        prompt: Text to put before each text of the column, not before labels.
        max_seq_length: Maximum number of tokens of a text of the column; see encode().
        batch_size: See encode().
        shipping: How to send the models to the executors; see encode().

    Returns:
        A column of struct<label:string, score:float, scores:array<float>>: the best label (the first of equals), its
        score, and all scores in the order of the labels. Null gives null. An image that cannot be read gives a struct
        of nulls. A vector of zeros gives a null label and scores of 0.

    Raises:
        InputError: The labels, the template or another argument is wrong, or there is no Spark session.
        ModelError: The model is not found.
    """
    options = EncodeOptions(prompt=prompt, max_seq_length=max_seq_length, batch_size=batch_size)
    chosen = Labels(check_list("labels", labels), template, wide)
    function = classifier(
        active_session(),
        model,
        chosen,
        options,
        label_model=label_model,
        revision=revision,
        dtype=dtype,
        shipping=shipping,
    )
    return udf.call(function, [column], struct=True)


def classifier(
    spark: SparkSession,
    model: "str | os.PathLike[str]",
    labels: Labels,
    options: EncodeOptions,
    *,
    label_model: "str | os.PathLike[str] | None" = None,
    revision: str | None = None,
    dtype: str = "auto",
    shipping: str = "auto",
) -> "UserDefinedFunctionLike":
    """Return the Spark function behind classify()."""
    snapshot, options = prepare(model, options, revision, dtype)
    other = None if label_model is None else prepare(label_model, EncodeOptions(), None, dtype)[0]
    payload = {
        "model": vars(send(spark, snapshot, shipping)),
        "label_model": None if other is None else vars(send(spark, other, shipping)),
        "labels": asdict(labels),
        "options": asdict(options),
        "dtype": dtype,
    }
    return udf.make(payload, class_type(options, labels))

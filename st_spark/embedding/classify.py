"""classify(column, labels): zero-shot classification of texts or images as a Spark column."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pyspark.sql import Column, SparkSession
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    FloatType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from st_spark.embedding import udf
from st_spark.embedding.arrow_classify import Labels
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import prepare, session
from st_spark.embedding.send_model import ship

if TYPE_CHECKING:
    import os

    from pyspark.sql._typing import UserDefinedFunctionLike


def classify(
    column: str | Column,
    labels: Sequence[str],
    *,
    model: "str | os.PathLike[str]",
    template: str = "{}",
    label_model: "str | os.PathLike[str] | None" = None,
    revision: str | None = None,
    dtype: str = "auto",
    prompt: str | None = None,
    shipping: str = "auto",
) -> Column:
    """Gives each text or image the label that it is most similar to, without any training.

    This is the zero-shot classification that Sentence-Transformers documents: inputs and labels are encoded, and
    compared by cosine similarity. The scores are those similarities, not probabilities (no softmax): they do not sum
    to 1, and with CLIP even good ones are about 0.3.

    Args:
        column: A string column; for CLIP models also a binary column of image files.
        labels: One or more different labels, such as ["sport", "politics"].
        model: A folder, "package:IMPORT_NAME", or a name on the hub.
        template: What the model reads of a label, "{}" standing for it: "a photo of a {}" suits CLIP.
        label_model: Another model that encodes the labels into the same space: clip-ViT-B-32-multilingual-v1 reads
            labels in 50 languages for images by clip-ViT-B-32.
        revision: Branch, tag or commit of the model on the hub.
        dtype: "auto", "float32", "bfloat16" or "float16"; see SentenceTransformer.
        prompt: Text put before each text of the column, not before labels.
        shipping: How the models reach the executors; see encode().

    Returns:
        A column of struct<label:string, score:float, scores:array<float>>: the best label (the first of equals), its
        score, and all scores in the order of the labels. Null gives null. An image that cannot be read gives a struct
        of nulls. A vector of zeros, which is like no label, gives a null label and scores of 0.

    Raises:
        InputError: Labels, a template or another argument that cannot work, or no Spark session.
        ModelError: No such model.
    """
    options = EncodeOptions(prompt=prompt)
    chosen = Labels(tuple(labels) if not isinstance(labels, str) else (labels,), template)
    function = classifier(
        session(), model, chosen, options, label_model=label_model, revision=revision, dtype=dtype, shipping=shipping
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
    """The user-defined function behind classify()."""
    snapshot, options = prepare(model, options, revision, dtype)
    other = None if label_model is None else prepare(label_model, EncodeOptions(), None, dtype)[0]
    order = {
        "shipment": vars(ship(spark, snapshot, shipping)),
        "label_shipment": None if other is None else vars(ship(spark, other, shipping)),
        "labels": asdict(labels),
        "options": asdict(options),
        "dtype": dtype,
    }
    return udf.make(order, return_type(options))


def return_type(options: EncodeOptions) -> StructType:
    """The Spark type of the output."""
    fields = [("label", StringType()), ("score", FloatType()), ("scores", ArrayType(FloatType()))]
    if options.counts:
        fields += [("n_tokens", IntegerType()), ("truncated", BooleanType())]
        fields += [("problem", StringType())] if options.images else []
        fields += [("duplicate", BooleanType())]
    return StructType([StructField(name, kind) for name, kind in fields])

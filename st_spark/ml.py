# ruff: noqa: N815 (the parameters are spelt as all of pyspark.ml spells its own)
"""SentenceEncoder: encode() as a Transformer of pyspark.ml, whose parameters are saved with the pipeline."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from st_spark.embedding.encode import encode
from st_spark.errors import InputError
from st_spark.tables.columns import check_columns, check_new_column, quoted_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def _param(name: str, text: str, convert: Callable[[Any], Any] = TypeConverters.toString) -> "Param[Any]":
    return Param(Params._dummy(), name, text, convert)


class SentenceEncoder(
    Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable["SentenceEncoder"], DefaultParamsWritable
):
    """Adds the vectors (array<float>) of a column of texts, or of images with a CLIP model. Null gives null.

    Estimators of pyspark.ml need a Vector column: convert with array_to_vector(col) of pyspark.ml.functions.

    Args:
        inputCol: The string column, or the binary column of image files.
        outputCol: The column to add, by default "embedding".
        model: A folder, "package:IMPORT_NAME", or a name on the hub.
        revision: Branch, tag or commit on the hub.
        dtype: "auto", "float32", "bfloat16", "float16" or "int8".
        prompt: Text to put before each text.
        promptName: Name of one of the model's own prompts instead.
        task: Task for models with a Router: "query", "document" or another.
        normalizeEmbeddings: Scale each vector to length 1.
        truncateDim: Keep only the first dimensions.
        maxSeqLength: Maximum number of tokens of a text, special ones included; by default the model's.
        batchSize: Maximum number of texts in one step of the model; by default only their tokens are limited.
        precision: "float32", "int8", "uint8", "binary" or "ubinary"; see encode() for the column types.
        ranges: The lowest and the highest value of each dimension, needed for int8 and uint8; see calibrate().
        maxImagePixels: An image with more pixels counts as one that cannot be read.
        shipping: How to send the model to the executors; see encode().
    """

    model = _param("model", "folder, package or hub name")
    revision = _param("revision", "branch, tag or commit")
    dtype = _param("dtype", "precision of the model")
    prompt = _param("prompt", "text before each text")
    promptName = _param("promptName", "prompt of the model")
    task = _param("task", "task for models with a Router")
    normalizeEmbeddings = _param("normalizeEmbeddings", "scale vectors to length 1", TypeConverters.toBoolean)
    truncateDim = _param("truncateDim", "dimensions to keep", TypeConverters.toInt)
    maxSeqLength = _param("maxSeqLength", "maximum number of tokens of a text", TypeConverters.toInt)
    batchSize = _param("batchSize", "maximum number of texts in one step of the model", TypeConverters.toInt)
    precision = _param("precision", "type of the values")
    ranges = _param("ranges", "lowest and highest values", lambda given: np.asarray(given, float).tolist())
    maxImagePixels = _param("maxImagePixels", "maximum number of pixels of an image", TypeConverters.toInt)
    shipping = _param("shipping", "how to send the model")

    @keyword_only
    def __init__(self, **params: Any) -> None:  # noqa: ANN401  (of the types above)
        super().__init__()
        self._setDefault(dtype="auto", normalizeEmbeddings=False, shipping="auto", outputCol="embedding")
        self._set(**params)

    @keyword_only
    def setParams(self, **params: Any) -> "SentenceEncoder":  # noqa: ANN401, N802  (the name that pyspark.ml uses)
        """Set parameters by name."""
        return self._set(**params)

    def _transform(self, dataset: "DataFrame") -> "DataFrame":
        """Return the data with the new column.

        Raises:
            InputError: A parameter or the input column is missing, or the column holds neither strings nor files.
            ModelError: The model is not found.
        """
        for name in ("inputCol", "model"):
            if not self.isDefined(name):
                raise InputError(f"The parameter {name!r} is not set.", f"give it: SentenceEncoder({name}=...)")
        column = self.getInputCol()
        check_columns(dataset.schema, "the data", (column,), images=True)
        check_new_column(dataset, "the data", self.getOutputCol(), "name another outputCol, or drop the column.")
        given = {param.name: self.getOrDefault(param) for param in self.params if self.isDefined(param)}
        # encode() spells truncateDim as truncate_dim
        options = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in given.items()}
        del options["input_col"], options["output_col"]
        return dataset.withColumn(self.getOutputCol(), encode(quoted_column(column), **options))

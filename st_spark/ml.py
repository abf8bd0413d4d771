# ruff: noqa: N815 (the parameters are spelt as all of pyspark.ml spells its own)
"""SentenceEncoder: encode() as a Transformer of pyspark.ml, whose parameters are saved with the pipeline."""

from typing import TYPE_CHECKING

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
        dtype: "auto", "float32", "bfloat16" or "float16".
        prompt: Text to put before each text.
        promptName: Name of one of the model's own prompts instead.
        normalizeEmbeddings: Scale each vector to length 1.
        truncateDim: Keep only the first dimensions.
        shipping: How to send the model to the executors; see encode().
    """

    model: "Param[str]" = Param(Params._dummy(), "model", "folder, package or hub name", TypeConverters.toString)
    revision: "Param[str]" = Param(Params._dummy(), "revision", "branch, tag or commit", TypeConverters.toString)
    dtype: "Param[str]" = Param(Params._dummy(), "dtype", "precision of the model", TypeConverters.toString)
    prompt: "Param[str]" = Param(Params._dummy(), "prompt", "text before each text", TypeConverters.toString)
    promptName: "Param[str]" = Param(Params._dummy(), "promptName", "prompt of the model", TypeConverters.toString)
    normalizeEmbeddings: "Param[bool]" = Param(
        Params._dummy(), "normalizeEmbeddings", "scale vectors to length 1", TypeConverters.toBoolean
    )
    truncateDim: "Param[int]" = Param(Params._dummy(), "truncateDim", "dimensions to keep", TypeConverters.toInt)
    shipping: "Param[str]" = Param(Params._dummy(), "shipping", "how to send the model", TypeConverters.toString)

    _OPTIONS = (
        *(("revision", "revision"), ("dtype", "dtype"), ("prompt", "prompt"), ("promptName", "prompt_name")),
        *(("normalizeEmbeddings", "normalize_embeddings"), ("truncateDim", "truncate_dim"), ("shipping", "shipping")),
    )

    @keyword_only
    def __init__(self, **params: str | bool | int) -> None:
        super().__init__()
        self._setDefault(dtype="auto", normalizeEmbeddings=False, shipping="auto", outputCol="embedding")
        self._set(**params)

    @keyword_only
    def setParams(self, **params: str | bool | int) -> "SentenceEncoder":  # noqa: N802  (the name that pyspark.ml uses)
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
        options = {option: self.getOrDefault(name) for name, option in self._OPTIONS if self.isDefined(name)}
        vectors = encode(quoted_column(column), model=self.getOrDefault("model"), **options)
        return dataset.withColumn(self.getOutputCol(), vectors)

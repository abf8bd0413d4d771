"""calibrate(df, column): find the range of each dimension in a sample of rows. int8 and uint8 vectors need it."""

from collections.abc import Sequence
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as sf

from st_spark.embedding import udf
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import encoder, prepare
from st_spark.errors import InputError, check_count, check_list
from st_spark.spark.cluster import cores
from st_spark.tables.columns import check_columns, quoted_column, readable

if TYPE_CHECKING:
    import os

    from pyspark.sql import DataFrame

    from st_spark.model.quantization import Ranges

# sentence-transformers warns below 100 texts. More than some thousand hardly change the ranges.
SAMPLE = 2000


def calibrate(
    df: "DataFrame",
    column: str | Sequence[str],
    *,
    model: "str | os.PathLike[str]",
    revision: str | None = None,
    dtype: str = "auto",
    rows: int = SAMPLE,
    **options: Any,  # noqa: ANN401  (of encode)
) -> "Ranges":
    """Find the lowest and the highest value of each dimension, for precision="int8" and "uint8".

    The sample does not depend on partitions or on the order of rows: it is the different texts with the lowest hashes
    (xxhash64). Sampling reads the column twice. Only hashes, and the texts of the sample, move between executors.

    Args:
        df: The table.
        column: Name of the column of texts (or images for a CLIP model), or of two columns for pairs.
        model: See encode().
        revision: See encode().
        dtype: See encode().
        rows: Number of different texts in the sample, 2 or more.
        options: prompt, prompt_name, normalize_embeddings, truncate_dim, task and max_seq_length, the same as for
            encode(); batch_size and max_image_pixels.

    Returns:
        float32 [2, d], the ranges for encode().

    Raises:
        InputError: There is no such column, an option is wrong, or fewer than 2 different texts have a vector.
        ModelError: The model is not found.
    """
    check_count("rows", rows, 2)
    names = check_list("column", column)
    chosen = prepare(model, EncodeOptions(**options), revision, dtype)[1]
    check_columns(df.schema, "the table", names, images=chosen.images)
    function = encoder(df.sparkSession, model, chosen, revision=revision, dtype=dtype)
    texts = _sample(df, names, rows).repartition(cores(df.sparkSession))
    vectors = texts.select(udf.call(function, [quoted_column(name) for name in names], struct=False).alias("vector"))
    highest, lowest = sf.array_max("vector"), sf.array_min("vector")  # in Spark NaN is greater than all numbers
    finite = vectors.where((highest < float("inf")) & (lowest > float("-inf")))
    value = sf.posexplode("vector").alias("place", "value")
    by_place = finite.select(value).groupBy("place").agg(sf.min("value"), sf.max("value"), sf.count(sf.lit(1)))
    ranges = by_place.orderBy("place").collect()
    if not ranges or ranges[0][3] < 2:
        count = ranges[0][3] if ranges else 0
        raise InputError(
            f"{' and '.join(names)}: {count} different texts have a vector; ranges need 2 or more.",
            "calibrate with more texts, better some thousand, or choose the precision float32 or binary.",
        )
    return np.array([[row[1] for row in ranges], [row[2] for row in ranges]], np.float32)


def _sample(df: "DataFrame", names: tuple[str, ...], rows: int) -> "DataFrame":
    """Return the `rows` different texts (or pairs) with the lowest hashes."""
    columns = [quoted_column(name) for name in names]
    present = reduce(and_, (column.isNotNull() for column in columns))
    texts = df.where(readable(df)).where(present).select(*columns)
    key = sf.xxhash64(*columns)
    lowest = texts.select(key.alias("key")).distinct().orderBy("key").limit(rows)
    last = lowest.agg(sf.max("key")).collect()[0][0]
    return texts.where(key <= sf.lit(last)).dropDuplicates()

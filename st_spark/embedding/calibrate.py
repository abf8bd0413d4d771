"""calibrate(df, column): the range of each dimension over a sample of rows, which int8 and uint8 vectors need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as sf

from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import apply, encoder, prepare
from st_spark.errors import InputError
from st_spark.spark.cluster import cores
from st_spark.tables.columns import CORRUPT, check_columns, exact

if TYPE_CHECKING:
    import os

    from pyspark.sql import DataFrame

    from st_spark.model.quantization import Ranges

# sentence-transformers warns below 100; over some thousand the lowest and the highest values hardly move any more.
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
    """The lowest and the highest value of each dimension, for precision="int8" and "uint8".

    The sample is the same whatever the partitions and the order of the rows: of all different texts those whose
    hashes (xxhash64) are lowest. Finding it reads the column twice; only hashes move between executors.

    Args:
        df: The table.
        column: The name of its column of texts (or images for a CLIP model), or of two for pairs.
        model: See encode().
        revision: See encode().
        dtype: See encode().
        rows: How many different texts to look at, 2 or more.
        options: prompt, prompt_name, normalize_embeddings, truncate_dim, task, as encode() will be given.

    Returns:
        float32 [2, d], to be given to encode() as ranges.

    Raises:
        InputError: No such column, an option that cannot work, or fewer than 2 different texts with a vector.
        ModelError: No such model.
    """
    names = (column,) if isinstance(column, str) else tuple(column)
    chosen = prepare(model, EncodeOptions(**options), revision, dtype)[1]
    check_columns(df.schema, "the table", names, images=chosen.images)
    function = encoder(df.sparkSession, model, chosen, revision=revision, dtype=dtype)
    texts = _sample(df, names, rows).repartition(cores(df.sparkSession))
    made = texts.select(apply(function, [exact(name) for name in names], chosen).alias("vector"))
    highest, lowest = sf.array_max("vector"), sf.array_min("vector")  # in Spark NaN is above all numbers
    finite = made.where((highest < float("inf")) & (lowest > float("-inf")))
    value = sf.posexplode("vector").alias("place", "value")
    each = finite.select(value).groupBy("place").agg(sf.min("value"), sf.max("value"), sf.count(sf.lit(1)))
    found = each.orderBy("place").collect()
    if not found or found[0][3] < 2:
        count = found[0][3] if found else 0
        raise InputError(
            f"{' and '.join(names)}: {count} different texts have a vector; no range can be told from that.",
            "calibrate with 2 or more of them, better some thousand, or choose the precision float32 or binary.",
        )
    return np.array([[row[1] for row in found], [row[2] for row in found]], np.float32)


def _sample(df: "DataFrame", names: tuple[str, ...], rows: int) -> "DataFrame":
    """So many different texts (or pairs), chosen by their hashes."""
    sound = df.where(exact(CORRUPT).isNull()) if CORRUPT in df.columns else df
    texts = sound.select(*map(exact, names))
    for name in names:
        texts = texts.where(exact(name).isNotNull())
    key = sf.xxhash64(*map(exact, names))
    lowest = texts.select(key.alias("key")).distinct().orderBy("key").limit(rows)
    last = lowest.agg(sf.max("key")).collect()[0][0]
    return texts.where(key <= sf.lit(last)).dropDuplicates()

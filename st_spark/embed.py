"""The embed job: a table of texts or images in, the same table with vectors out."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark import enrichment
from st_spark.encoding import EncodeOptions
from st_spark.enrichment import MADE, Recipe
from st_spark.functions import encoder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.phases import Phases
    from st_spark.spec import EmbedJob


def run(spark: "SparkSession", job: "EmbedJob", phases: "Phases") -> dict[str, Any]:
    """Runs an embed job.

    Returns:
        rows: in, out, null (no text, no vector), empty (nothing but spaces), truncated, corrupt (set aside), zero and
            nan (vectors that are), with a model of images unreadable (no image, no vector), and with an id column
            null_id and duplicate_id; rows_per_second;
        duplicates: texts that were not encoded again; tokens: those that the model read;
        model: see `warmup.describe`;
        input, output: where and in which format, and the version of a Delta table.
    """
    return enrichment.run(spark, job, phases, lambda: _recipe(spark, job))


def _recipe(spark: "SparkSession", job: "EmbedJob") -> Recipe:
    options = EncodeOptions(
        prompt=job.prompt,
        prompt_name=job.prompt_name,
        normalize_embeddings=job.normalize_embeddings,
        truncate_dim=job.truncate_dim,
        counts=True,
    )
    vector = sf.col(f"{MADE}.embedding")
    # In Spark NaN is greater than every number, so the largest value tells.
    largest, smallest = sf.array_max(vector), sf.array_min(vector)
    return Recipe(
        function=encoder(spark, job.model, options, revision=job.revision, dtype=job.dtype),
        value=vector,
        odd={"zero": (largest == 0) & (smallest == 0), "nan": sf.isnan(largest)},
        facts={"normalize_embeddings": job.normalize_embeddings, "truncate_dim": job.truncate_dim},
    )

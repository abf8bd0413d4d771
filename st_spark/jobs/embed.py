"""The embed job: a table of texts or images in, the same table with vectors out."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.choices import RANGED
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.calibrate import SAMPLE, calibrate
from st_spark.embedding.encode import encoder
from st_spark.errors import TableError
from st_spark.jobs import add_column
from st_spark.jobs.add_column import MADE, Recipe
from st_spark.tables import columns, io

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.jobs.timings import Phases
    from st_spark.specs.jobs import EmbedJob


def run(spark: "SparkSession", job: "EmbedJob", phases: "Phases") -> dict[str, Any]:
    """Runs an embed job.

    Returns:
        rows: in, out, null (no text, no vector), empty (nothing but spaces), truncated, corrupt (set aside), zero and
            nan (vectors that are), with a model of images unreadable (no image, no vector), and with an id column
            null_id and duplicate_id; rows_per_second;
        duplicates: texts that were not encoded again; tokens: those that the model read;
        model: see `warmup.describe`; its dim is that of the float32 vectors;
        precision: what the vectors are stored as. The ranges of int8 and uint8 are found before the work on a sample
            of the input (see `calibration.calibrate`), or are those of the table that is appended to; the table says
            both in the metadata of its column;
        input, output: where and in which format, and the version of a Delta table.
    """
    done = add_column.run(spark, job, phases, lambda df, there: _recipe(spark, job, _ranges(job, phases, df, there)))
    return done | {"precision": job.precision}


def _recipe(spark: "SparkSession", job: "EmbedJob", ranges: list[list[float]] | None) -> Recipe:
    options = EncodeOptions(**_options(job), counts=True, precision=job.precision, ranges=ranges)
    vector = sf.col(f"{MADE}.embedding")
    # In Spark NaN is greater than every number, so the largest value tells.
    largest, smallest = sf.array_max(vector), sf.array_min(vector)
    odd = {"zero": (largest == 0) & (smallest == 0), "nan": sf.isnan(largest)}
    if job.precision != "float32":  # told by the function: bytes no longer do
        odd = {name: sf.col(f"{MADE}.{name}") for name in odd}
    facts: dict[str, Any] = {name: getattr(job, name) for name in ("normalize_embeddings", "truncate_dim", "task")}
    if job.precision != "float32":
        facts |= {"precision": job.precision, "ranges": columns.as_fact(ranges)}
    function = encoder(spark, job.model, options, revision=job.revision, dtype=job.dtype)
    return Recipe(function=function, value=vector, odd=odd, facts=facts)


def _options(job: "EmbedJob") -> dict[str, Any]:
    names = ("prompt", "prompt_name", "normalize_embeddings", "truncate_dim", "task")
    return {name: getattr(job, name) for name in names}


def _ranges(job: "EmbedJob", phases: "Phases", df: "DataFrame", there: bool) -> list[list[float]] | None:
    """The ranges of int8 and uint8: those of the table that is appended to, else those of a sample of the input.

    Raises:
        TableError: The table holds no vectors of this precision, or does not say their ranges.
        InputError: There is no sample; see calibrate().
    """
    if job.precision not in RANGED:
        return None
    if there and job.mode == "append":
        schema = io.read(df.sparkSession, job.output, job.output_format).schema
        facts = columns.vector_column(schema, job.output, job.output_column)[1]
        stored = columns.stored_ranges(facts) if facts.get("precision") == job.precision else None
        if stored is None:
            raise TableError(
                f"{job.output} does not say in its column {job.output_column!r} how to make {job.precision} vectors.",
                "append in the precision of the table, or overwrite it.",
            )
        return stored
    with phases("calibrate", f"Calibrating {job.precision} on {SAMPLE:,} texts at most"):
        names = job.text_columns
        found = calibrate(df, names, model=job.model, revision=job.revision, dtype=job.dtype, **_options(job))
    return [row.tolist() for row in found]

"""The embed job: add to a table of texts or images the vector of each row."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.choices import RANGED
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.calibrate import SAMPLE, calibrate
from st_spark.embedding.encode import encoder, prepare
from st_spark.errors import RecipeError
from st_spark.steps import add_column
from st_spark.steps.new_column import ColumnBuilder
from st_spark.steps.resume import RESULT
from st_spark.tables.metadata import ranges_from_metadata, ranges_to_metadata, vector_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.row_jobs import EmbedJob
    from st_spark.steps.timings import Timings
    from st_spark.tables.writers import Writer


def run(spark: "SparkSession", job: "EmbedJob", timings: "Timings") -> dict[str, Any]:
    """Run an embed job.

    Returns:
        rows: counts of rows: in; out; null (no text, so no vector); empty (only spaces); truncated; corrupt (not
            readable, so not written); zero and nan (vectors of zeros, or with NaN or infinities); of CSV and JSON lines
            undecodable (with U+FFFD for bytes that are not in the encoding); with a model of images unreadable (no
            image, so no vector); with an id column null_id and duplicate_id; resumed (with the vector of an earlier
            run); bad, if the job does more with bad rows than count them. For the counts of a merge see Merge.run();
        rows_per_second;
        duplicates: texts that were not encoded again; tokens: tokens that the model read;
        model: see model_info.describe(); its dim is the size of the float32 vectors;
        chunk, overlap and pooling, if texts were cut: chunk is the most tokens of a chunk. With the pooling "none" `in`
            counts rows of the input, and the other counts are of chunks; rows.chunks is how many the input has;
        precision: precision of the stored vectors. The ranges of int8 and uint8 come from a sample of the input (see
            calibrate()), or from the table that the job adds to. The column's metadata has both;
        input, output: path and format, and the version of a Delta table;
        rejected: path, format, rows and version of the table of rejected rows, if the job writes one.
    """
    chunking = _chunking(job)
    result = add_column.run(
        spark, job, timings, lambda df, output: _builder(spark, job, _ranges(job, timings, df, output), chunking)
    )
    return result | chunking | {"precision": job.precision}


def _chunking(job: "EmbedJob") -> dict[str, Any]:
    """Return how the texts are cut; {} if they are not."""
    if job.chunk is None:
        return {}
    tokens = prepare(job.model, EncodeOptions(**job.encoding), job.revision, job.dtype)[1].chunk
    return {"chunk": tokens, "overlap": job.overlap, "pooling": job.pooling}


def _builder(
    spark: "SparkSession", job: "EmbedJob", ranges: list[list[float]] | None, chunking: dict[str, Any]
) -> ColumnBuilder:
    options = EncodeOptions(**job.encoding, counts=True, precision=job.precision, ranges=ranges)
    vector = sf.col(f"{RESULT}.embedding")
    metadata: dict[str, Any] = {name: getattr(job, name) for name in ("normalize_embeddings", "truncate_dim", "task")}
    metadata |= chunking
    if job.precision == "float32":
        # In Spark NaN is greater than all numbers, so the largest value shows it.
        largest, smallest = sf.array_max(vector), sf.array_min(vector)
        infinite = sf.greatest(largest, -smallest) == float("inf")
        conditions = {"zero": (largest == 0) & (smallest == 0), "nan": sf.isnan(largest) | infinite}
    else:
        conditions = {name: sf.col(f"{RESULT}.{name}") for name in ("zero", "nan")}
        metadata |= {"precision": job.precision, "ranges": ranges_to_metadata(ranges)}
    function = encoder(spark, job.model, options, revision=job.revision, dtype=job.dtype)
    return ColumnBuilder(function, vector, conditions, conditions["nan"], metadata)


def _ranges(job: "EmbedJob", timings: "Timings", df: "DataFrame", output: "Writer") -> list[list[float]] | None:
    """Return the ranges for int8 and uint8: of the table that the job appends to, else of a sample of the input."""
    if job.precision not in RANGED:
        return None
    if output.keeps_rows:
        metadata = vector_column(output.read().schema, job.output, job.output_column)[1]
        stored = ranges_from_metadata(metadata) if metadata.get("precision") == job.precision else None
        if stored is None:
            raise RecipeError(
                f"Cannot add {job.precision} vectors to {job.output}: its column {job.output_column!r} has no "
                f"{job.precision} ranges.",
                "use the precision of the table, or overwrite it.",
            )
        return stored
    with timings("calibrate", f"Calibrating {job.precision} on at most {SAMPLE:,} texts"):
        names = job.text_columns
        ranges = calibrate(df, names, model=job.model, revision=job.revision, dtype=job.dtype, **job.encoding)
    return [row.tolist() for row in ranges]

"""The embed job: a table of texts in, the same table with vectors out."""

import logging
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark import tables, warmup
from st_spark.columns import CORRUPT, FACTS, check_columns, exact
from st_spark.encoding import EncodeOptions
from st_spark.errors import InputError
from st_spark.functions import apply, encoder
from st_spark.progress import follow
from st_spark.survey import Survey, count_ids, survey

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from st_spark.phases import Phases
    from st_spark.spec import EmbedJob

_log = logging.getLogger(__name__)
_ENCODED = "_st_spark_encoded"


def run(spark: "SparkSession", job: "EmbedJob", phases: "Phases") -> dict[str, Any]:
    """Runs an embed job.

    Returns:
        rows: in, out, null (no text, no vector), empty (nothing but spaces), truncated, corrupt (set aside), zero and
            nan (vectors that are), and with an id column null_id and duplicate_id; rows_per_second;
        duplicates: texts that were not encoded again; tokens: those that the model read;
        model: see `warmup.describe`;
        input, output: where and in which format, and the version of a Delta table.
    """
    with phases("read", f"Reading {job.input}"):
        there = tables.prepare(spark, job.output, job.output_format)
        if there and job.mode == "error":
            tables.refuse_existing(job.output)
        table_format = job.input_format or tables.find_format(spark, job.input)
        df = _input(spark, job, table_format)
        found, ids = survey(df), count_ids(df, job.id_column)
    with phases("load", f"Loading {job.model}"):
        model = warmup.describe(spark, job, min(found.cores, found.wanted))
        encoded = _encoded(spark, df, job, found)
    counts = Observation("st_spark")
    out = _output(encoded, job, model, counts)
    if there and job.mode == "append":
        tables.check_append(spark, out.schema, job.output, job.output_format, job.output_column)
    told = f"Encoding {found.rows:,} rows on {model['device']} in {model['dtype']}"
    with phases("encode_and_write", told), follow(spark, found.rows, _tasks(found)):
        version = tables.write(out, job.output, job.output_format, job.mode)
    seen = {name: value or 0 for name, value in counts.get.items()}  # a sum over no row is null
    seconds = phases.seconds["encode_and_write"]
    rows = {"in": seen["in"], "out": seen["in"] - seen["corrupt"]}
    rows |= {name: seen[name] for name in ("null", "empty", "truncated", "corrupt", "zero", "nan")} | ids
    return {
        "rows": rows,
        "rows_per_second": round(rows["out"] / seconds, 1) if seconds else 0.0,
        "duplicates": seen["duplicates"],
        "tokens": seen["tokens"],
        "model": model,
        "input": {"path": job.input, "format": table_format},
        "output": {
            "path": job.output,
            "format": job.output_format,
            "mode": job.mode,
            "column": job.output_column,
            "version": version,
        },
    }


def _input(spark: "SparkSession", job: "EmbedJob", table_format: str) -> "DataFrame":
    df = tables.read(spark, job.input, table_format)
    check_columns(df.schema, job.input, job.text_columns, (job.id_column,) if job.id_column else ())
    if job.output_column in df.columns:
        raise InputError(
            f"{job.input} has a column {job.output_column!r} already.", "name the vectors' column: --output-column."
        )
    return df


def _tasks(found: Survey) -> int:
    return len(found.partitions) if found.fits else found.wanted


def _encoded(spark: "SparkSession", df: "DataFrame", job: "EmbedJob", found: Survey) -> "DataFrame":
    """The input, cut into tasks that keep every core busy, with one more column of vectors and counts."""
    options = EncodeOptions(
        prompt=job.prompt,
        prompt_name=job.prompt_name,
        normalize_embeddings=job.normalize_embeddings,
        truncate_dim=job.truncate_dim,
        counts=True,
    )
    function = encoder(spark, job.model, options, revision=job.revision, dtype=job.dtype)
    texts = [exact(name) for name in job.text_columns]
    if CORRUPT in df.columns:
        texts = [sf.when(exact(CORRUPT).isNull(), text) for text in texts]
    cut = df if found.fits else df.repartition(found.wanted)
    return cut.withColumn(_ENCODED, apply(function, texts, options))


def _output(encoded: "DataFrame", job: "EmbedJob", model: dict[str, Any], counts: Observation) -> "DataFrame":
    """The table to write. Its rows are counted in the stage that writes them: a task run twice counts once."""
    kept = [name for name in encoded.columns if name not in (_ENCODED, CORRUPT)]
    observed = encoded.observe(counts, *_counts(encoded, job))
    if CORRUPT in encoded.columns:
        observed = observed.where(exact(CORRUPT).isNull())
    facts = {
        **{name: model[name] for name in ("revision", "content", "dim", "dtype", "similarity", "prompt")},
        "model": job.model,
        "normalize_embeddings": job.normalize_embeddings,
        "truncate_dim": job.truncate_dim,
        "text_columns": list(job.text_columns),
        "id_column": job.id_column,
    }
    said = {name: value for name, value in facts.items() if value is not None}
    vector = sf.col(f"{_ENCODED}.embedding").alias(job.output_column, metadata={FACTS: said})
    return observed.select(*map(exact, kept), vector)


def _counts(encoded: "DataFrame", job: "EmbedJob") -> list["Column"]:
    texts = [exact(name) for name in job.text_columns]
    sound = exact(CORRUPT).isNull() if CORRUPT in encoded.columns else sf.lit(True)
    null, empty = sf.lit(False), sf.lit(True)
    for text in texts:
        null, empty = null | text.isNull(), empty & (sf.trim(text) == "")
    vector = sf.col(f"{_ENCODED}.embedding")
    # In Spark NaN is greater than every number, so the largest value tells.
    largest, smallest = sf.array_max(vector), sf.array_min(vector)
    conditions = {
        "corrupt": ~sound,
        "null": sound & null,
        "empty": sound & empty,
        "truncated": sf.col(f"{_ENCODED}.truncated"),
        "duplicates": sf.col(f"{_ENCODED}.duplicate"),
        "zero": (largest == 0) & (smallest == 0),
        "nan": sf.isnan(largest),
    }
    counted = [sf.count_if(condition).alias(name) for name, condition in conditions.items()]
    return [sf.count(sf.lit(1)).alias("in"), sf.sum(f"{_ENCODED}.n_tokens").alias("tokens"), *counted]

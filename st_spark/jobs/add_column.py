"""What the embed and classify jobs share: read a table, add a column that a model makes, write the table."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType, StructType

from st_spark.embedding import model_info, udf
from st_spark.jobs import output_table
from st_spark.jobs.changed_rows import read_changes
from st_spark.jobs.merge import Merge
from st_spark.jobs.timings import Timings
from st_spark.specs.jobs import EmbedJob
from st_spark.tables import io
from st_spark.tables.append_check import RecipeError
from st_spark.tables.changes import check_unique
from st_spark.tables.columns import (
    CORRUPT,
    NOT_BLANK,
    RESERVED,
    check_columns,
    check_new_column,
    quoted_column,
    readable,
)
from st_spark.tables.decoding import checked_count, is_undecodable
from st_spark.tables.metadata import column_metadata
from st_spark.tables.row_counts import RowCounts, count_ids, count_rows

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql._typing import UserDefinedFunctionLike

    from st_spark.specs.jobs import ClassifyJob
    from st_spark.tables.writers import Writer

# A temporary column: the struct that the function returns. It is not written.
RESULT = f"{RESERVED}result"
_MODEL_METADATA = ("revision", "content", "dim", "dtype", "similarity", "prompt", "max_seq_length")


@dataclass(frozen=True)
class ColumnBuilder:
    """How a job makes its column.

    Attributes:
        function: Function of the text columns. It returns a struct with n_tokens, truncated, duplicate (and problem).
        value: The column to write, made from the struct RESULT.
        conditions: Further conditions; the result counts the rows for which each is true.
        metadata: What the metadata of the column says, in addition to the model.
    """

    function: "UserDefinedFunctionLike"
    value: "Column"
    conditions: Mapping[str, "Column"]
    metadata: Mapping[str, Any]


def run(
    spark: "SparkSession",
    job: "EmbedJob | ClassifyJob",
    timings: "Timings",
    build: "Callable[[DataFrame, Writer], ColumnBuilder]",
) -> dict[str, Any]:
    """Run a job; see embed.run() and classify.run() for the result.

    Args:
        spark: The session.
        job: The job.
        timings: Measures the phases.
        build: Sends the model to the workers, and returns the column builder for the input and the output.
    """
    with output_table.opened(spark, job) as output:
        with timings("read", f"Reading {job.input}"):
            table_format = job.input_format or io.find_format(spark, job.input)
            feed = read_changes(spark, job, table_format, output.writer) if isinstance(job, EmbedJob) else None
            df = output.writer.fit(_read(spark, job, table_format, feed.rows if feed else None), job.input)
            output.partitions = output.writer.count_partitions(df, job.input)
            size, id_counts = count_rows(df), count_ids(df, job.id_column)
            if job.mode == "merge" and any(id_counts.values()):  # it names some of them
                check_unique(df.where(readable(df)), job.input, str(job.id_column))
        with timings("load", f"Loading {job.model}"):
            model = model_info.describe(spark, job, size.first_tasks)
            builder, encoded = _prepare(df, job, output, model, size, build)
        if isinstance(job, EmbedJob) and output.writer.merges:
            of_texts = _conditions(encoded.drop(CORRUPT), job) | dict(builder.conditions)
            deleted = feed.deleted if feed else None
            totals = Merge(job, df, size.rows, output, timings, deleted).run(builder, RESULT, of_texts)
        else:
            conditions = _conditions(encoded, job) | dict(builder.conditions)
            conditions |= {"undecodable": is_undecodable(df, df.columns)} if CORRUPT in df.columns else {}
            counts = Observation("st_spark")
            out = _output(_observed(encoded, counts, conditions), job, builder, model)
            text = f"Encoding {size.rows:,} rows on {model['device']} in {model['dtype']}"
            totals = output.write(out, counts, "out", timings, "encode_and_write", text, size.rows, size.tasks)
        if feed:
            feed.keep(output.writer)
    if "undecodable" in totals:
        with suppress(Exception):  # the table is written, so the job must not fail now: the input may be gone
            path = io.reader_path(spark, job.input)
            totals["undecodable"] = checked_count(spark, path, job.input_encoding, totals["undecodable"])
    tokens, duplicates = totals.pop("tokens"), totals.pop("duplicates")
    encoded_rows = totals["new"] + totals["changed"] if "new" in totals else totals["out"]
    return {
        "rows": totals | id_counts,
        "rows_per_second": timings.rate(encoded_rows, "encode_and_write"),
        "duplicates": duplicates,
        "tokens": tokens,
        "model": model,
        "input": {"path": job.input, "format": table_format, **(feed.describe() if feed else {})},
        "output": output.describe(column=job.output_column),
    }


def _prepare(
    df: "DataFrame",
    job: "EmbedJob | ClassifyJob",
    output: output_table.OutputTable,
    model: Mapping[str, Any],
    size: RowCounts,
    build: "Callable[[DataFrame, Writer], ColumnBuilder]",
) -> "tuple[ColumnBuilder, DataFrame]":
    """Return the column builder and the input with RESULT. Check that rows of a table to add to were made alike."""
    try:
        builder = build(df, output.writer)
        encoded = _encode(df, job, builder, size)
        output.writer.check(_output(encoded, job, builder, model).schema, job.output_column)
    except RecipeError:
        if not isinstance(job, EmbedJob) or job.on_new_recipe != "rebuild":
            raise
        Merge(job, df, size.rows, output, Timings()).check_rebuild()
        output.writer = replace(output.writer, mode="rebuild")
        return _prepare(df, job, output, model, size, build)
    return builder, encoded


def _read(
    spark: "SparkSession", job: "EmbedJob | ClassifyJob", table_format: str, rows: "DataFrame | None"
) -> "DataFrame":
    df = rows if rows is not None else io.read(spark, job.input, table_format, job.input_encoding, job.schema)
    check_columns(df.schema, job.input, job.text_columns, (job.id_column,) if job.id_column else (), images=True)
    check_new_column(df, job.input, job.output_column, "name the new column: --output-column.")
    return df


def _encode(df: "DataFrame", job: "EmbedJob | ClassifyJob", builder: ColumnBuilder, size: RowCounts) -> "DataFrame":
    """Return the input with the column RESULT, in partitions that keep every core busy."""
    texts = [sf.when(readable(df), quoted_column(name)) for name in job.text_columns]
    encoded = size.repartition(df).withColumn(RESULT, udf.call(builder.function, texts, struct=True))
    check_columns(df.schema, job.input, job.text_columns, images=_reads_images(encoded))
    return encoded


def _reads_images(encoded: "DataFrame") -> bool:
    kind = encoded.schema[RESULT].dataType
    return isinstance(kind, StructType) and "problem" in kind.names


def _conditions(encoded: "DataFrame", job: "EmbedJob | ClassifyJob") -> "dict[str, Column]":
    """Return the conditions by which embed and classify jobs count rows."""
    null, empty = sf.lit(False), sf.lit(True)
    for name in job.text_columns:
        text, binary = quoted_column(name), isinstance(encoded.schema[name].dataType, BinaryType)
        blank = sf.length(text) == 0 if binary else ~text.rlike(NOT_BLANK)
        null, empty = null | text.isNull(), empty & blank
    conditions = {
        "null": readable(encoded) & null,
        "empty": readable(encoded) & empty,
        "truncated": sf.col(f"{RESULT}.truncated"),
        "corrupt": ~readable(encoded),
        "duplicates": sf.col(f"{RESULT}.duplicate"),
    }
    unreadable = {"unreadable": sf.col(f"{RESULT}.problem").isNotNull()} if _reads_images(encoded) else {}
    return conditions | unreadable


def _observed(encoded: "DataFrame", counts: Observation, conditions: Mapping[str, "Column"]) -> "DataFrame":
    """Count rows, tokens and conditions in the stage that writes. So a task that runs twice counts once."""
    aggregates = [sf.count_if(condition).alias(name) for name, condition in conditions.items()]
    rows = (sf.count(sf.lit(1)).alias("in"), sf.count_if(readable(encoded)).alias("out"))
    return encoded.observe(counts, *rows, sf.sum(f"{RESULT}.n_tokens").alias("tokens"), *aggregates)


def _output(
    encoded: "DataFrame", job: "EmbedJob | ClassifyJob", builder: ColumnBuilder, model: Mapping[str, Any]
) -> "DataFrame":
    """Return the table to write: the readable rows, the columns of the input, and the new column."""
    kept = [quoted_column(name) for name in encoded.columns if name not in (RESULT, CORRUPT)]
    metadata = {**{name: model.get(name) for name in _MODEL_METADATA}, **builder.metadata, "model": job.model}
    metadata |= {"text_columns": list(job.text_columns), "id_column": job.id_column}
    value = builder.value.alias(job.output_column, metadata=column_metadata(metadata))
    return encoded.where(readable(encoded)).select(*kept, value)

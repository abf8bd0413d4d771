"""What the embed and classify jobs share: read a table, add a column that a model makes, write the table."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType, StructType

from st_spark.embedding import model_info, udf
from st_spark.jobs import bad_rows as bad_row_limit
from st_spark.jobs import output_table
from st_spark.jobs.changed_rows import read_changes
from st_spark.jobs.merge import Merge
from st_spark.jobs.resume import RESULT, RESUMED, Resume
from st_spark.jobs.timings import Timings
from st_spark.spark.hold import held
from st_spark.spark.progress import follow
from st_spark.specs.jobs import EmbedJob
from st_spark.tables import bad_rows, io
from st_spark.tables.append_check import RecipeError
from st_spark.tables.bad_rows import PROBLEM
from st_spark.tables.changes import TEXT_HASH, check_unique, text_hash
from st_spark.tables.columns import (
    CORRUPT,
    NOT_BLANK,
    RESERVED,
    check_columns,
    check_new_column,
    quoted_column,
    readable,
)
from st_spark.tables.decoding import checked_count, count_bad_texts, is_not_utf8, is_undecodable
from st_spark.tables.metadata import column_metadata
from st_spark.tables.row_counts import RowCounts, count_ids, count_rows

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql._typing import UserDefinedFunctionLike

    from st_spark.specs.jobs import ClassifyJob
    from st_spark.tables.writers import Writer

_MODEL_METADATA = ("revision", "content", "dim", "dtype", "similarity", "prompt", "max_seq_length")


@dataclass(frozen=True)
class ColumnBuilder:
    """How a job makes its column.

    Attributes:
        function: Function of the text columns. It returns a struct with n_tokens, truncated, duplicate (and problem).
        value: The column to write, made from the struct RESULT.
        conditions: Further conditions; the result counts the rows for which each is true.
        not_finite: Whether the vector has a NaN or an infinity.
        metadata: What the metadata of the column says, in addition to the model.
    """

    function: "UserDefinedFunctionLike"
    value: "Column"
    conditions: Mapping[str, "Column"]
    not_finite: "Column"
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
    with output_table.opened(spark, job) as output, ExitStack() as stack:
        with timings("read", f"Reading {job.input}"):
            table_format = job.input_format or io.find_format(spark, job.input)
            feed = read_changes(spark, job, table_format, output.writer) if isinstance(job, EmbedJob) else None
            df = output.writer.fit(_read(spark, job, table_format, feed.rows if feed else None), job.input)
            output.partitions = output.writer.count_partitions(df, job.input)
            size, id_counts = count_rows(df), count_ids(df, job.id_column)
            if job.mode == "merge" and any(id_counts.values()):  # it names some of them
                check_unique(df.where(readable(df)), job.input, str(job.id_column))
            lossy = job.finds_bad_rows and _check_texts(df, job, size.rows)
        with timings("load", f"Loading {job.model}"):
            model = model_info.describe(spark, job, size.first_tasks)
            builder, encoded = _prepare(df, job, output, model, size, build)
        resume = None
        if isinstance(job, EmbedJob):
            resume = Resume(spark, job, output.writer, _metadata(job, builder, model), timings, stack)
        mark = partial(_mark, job, builder, lossy=lossy)
        if isinstance(job, EmbedJob) and resume and output.writer.merges:
            of_texts = _conditions(encoded.drop(CORRUPT), job) | dict(builder.conditions)
            merge = Merge(job, df, size.rows, output, timings, feed.deleted if feed else None)
            builder = replace(builder, value=_value(job, builder))
            totals, rejected = merge.run(builder, of_texts, resume, mark)
        else:
            text = f"Encoding {size.rows:,} rows on {model['device']} in {model['dtype']}"
            rows = df.withColumn(TEXT_HASH, sf.when(readable(df), text_hash(job.text_columns)))
            kept = resume.encode(rows, size, _texts(df, job), builder.function) if resume else None
            if kept is not None:
                encoded, text = kept, f"Writing {job.output}"
            totals, rejected = _write(df, job, mark(encoded), builder, model, output, timings, size, text)
        if feed:
            feed.keep(output.writer)
    if CORRUPT in df.columns and totals.get("undecodable"):
        with suppress(Exception):  # the table is written, so the job must not fail now: the input may be gone
            path = io.reader_path(spark, job.input)
            totals["undecodable"] = checked_count(spark, path, job.input_encoding, totals["undecodable"])
    tokens, duplicates = totals.pop("tokens"), totals.pop("duplicates")
    encoded_rows = totals["new"] + totals["changed"] if "new" in totals else totals["out"]
    encoded_rows -= totals.get("resumed", 0)
    return {
        "rows": totals | id_counts,
        "rows_per_second": timings.rate(encoded_rows, "encode_and_write"),
        "duplicates": duplicates,
        "tokens": tokens,
        "model": model,
        "input": {"path": job.input, "format": table_format, **(feed.describe() if feed else {})},
        "output": output.describe(column=job.output_column),
        **rejected,
    }


def _check_texts(df: "DataFrame", job: "EmbedJob | ClassifyJob", rows: int) -> bool:
    """Check before the work that not too many rows of a CSV or JSON file are bad.

    Returns:
        Whether U+FFFD in a text stands for bytes that Spark could not decode.
    """
    if job.on_error == "quarantine":
        bad_rows.check_names(df, job.input)
    path = io.reader_path(df.sparkSession, job.input)
    counts = count_bad_texts(df, path, job.text_columns, job.input_encoding)
    lossy = counts["undecodable"] > 0
    marked = df.withColumn(PROBLEM, bad_rows.unread(df, job.text_columns, lossy=lossy))
    bad_row_limit.check(job, job.input, rows, counts, lambda: _first(marked, job))
    return lossy


def _first(rows: "DataFrame", job: "EmbedJob | ClassifyJob") -> str:
    """Return the first bad rows as text."""
    return bad_rows.name_some(bad_rows.rejected(rows, _names(rows)), job.id_column)


def _write(
    df: "DataFrame",
    job: "EmbedJob | ClassifyJob",
    encoded: "DataFrame",
    builder: ColumnBuilder,
    model: Mapping[str, Any],
    output: output_table.OutputTable,
    timings: "Timings",
    size: RowCounts,
    text: str,
) -> tuple[dict[str, int], dict[str, Any]]:
    """Write all rows, and the rejected ones to a table of their own. Return the counts, and what the result adds.

    The rows are needed several times to check or to split them. Executors keep them on their disks then.
    """
    conditions = _conditions(encoded, job) | dict(builder.conditions)
    conditions |= {"undecodable": is_undecodable(df, df.columns)} if CORRUPT in df.columns else {}
    several = job.limits_bad_rows or output.rejected is not None
    output.check_rejected(bad_rows.rejected(encoded, _names(encoded)))
    with held(encoded) if several else nullcontext(encoded) as rows:
        if job.limits_bad_rows:
            with timings("encode_and_write", text), follow(rows.sparkSession, size.rows, size.tasks):
                reasons = rows.where(sf.col(PROBLEM).isNotNull()).groupBy(f"{PROBLEM}.{bad_rows.REASON}").count()
                found = {row[0]: row[1] for row in reasons.collect()}
            bad_row_limit.check(job, job.input, size.rows, found, lambda: _first(rows, job))
        counts = Observation("st_spark")
        out = _output(_observed(rows, job, counts, conditions), job, builder, model)
        totals = output.write(out, counts, "out", timings, "encode_and_write", text, size.rows, size.tasks)
        bad = bad_rows.rejected(rows, _names(rows))
        if output.keeps_rejected:
            return totals, output.write_rejected(output.add_other_partitions(bad, rows))
        return totals, output.write_rejected(bad, totals.get("bad", 0))


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
        marked = _mark(job, builder, encoded, lossy=False)
        output.writer.check(_output(marked, job, builder, model).schema, job.output_column)
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
    encoded = size.repartition(df).withColumn(RESULT, udf.call(builder.function, _texts(df, job), struct=True))
    check_columns(df.schema, job.input, job.text_columns, images=_reads_images(encoded))
    return encoded


def _texts(df: "DataFrame", job: "EmbedJob | ClassifyJob") -> "list[Column]":
    return [sf.when(readable(df), quoted_column(name)) for name in job.text_columns]


def _mark(job: "EmbedJob | ClassifyJob", builder: ColumnBuilder, encoded: "DataFrame", *, lossy: bool) -> "DataFrame":
    """Add the column PROBLEM, if the job finds bad rows; see bad_rows.unread() for `lossy`."""
    if not job.finds_bad_rows:
        return encoded.withColumn(PROBLEM, sf.lit(None).cast(bad_rows.PROBLEM_TYPE))
    case = bad_rows.unread(encoded, job.text_columns, lossy=lossy)
    if _reads_images(encoded):
        why = sf.col(f"{RESULT}.problem")
        case = case.when(why.isNotNull(), bad_rows.problem(why, job.text_columns[0]))
    case = case.when(builder.not_finite, bad_rows.problem(bad_rows.NOT_FINITE, job.output_column))
    return encoded.withColumn(PROBLEM, case)


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
        "duplicates": sf.col(f"{RESULT}.duplicate") & ~_resumed(encoded),
    }
    if isinstance(job, EmbedJob):
        conditions["resumed"] = _resumed(encoded)
    if _reads_images(encoded):
        conditions["unreadable"] = sf.col(f"{RESULT}.problem").isNotNull()
    if any(not isinstance(encoded.schema[name].dataType, BinaryType) for name in job.text_columns):
        conditions["undecodable"] = is_not_utf8(encoded.schema, job.text_columns)
    return conditions


def _resumed(encoded: "DataFrame") -> "Column":
    return sf.col(RESUMED) if RESUMED in encoded.columns else sf.lit(False)


def _observed(
    encoded: "DataFrame", job: "EmbedJob | ClassifyJob", counts: Observation, conditions: Mapping[str, "Column"]
) -> "DataFrame":
    """Count rows, tokens and conditions in the stage that writes. So a task that runs twice counts once."""
    if job.finds_bad_rows:
        conditions = {**conditions, "bad": sf.col(PROBLEM).isNotNull()}
    aggregates = [sf.count_if(condition).alias(name) for name, condition in conditions.items()]
    rows = (sf.count(sf.lit(1)).alias("in"), sf.count_if(_is_kept(encoded, job)).alias("out"))
    tokens = sf.sum(sf.when(~_resumed(encoded), sf.col(f"{RESULT}.n_tokens"))).alias("tokens")
    return encoded.observe(counts, *rows, tokens, *aggregates)


def _output(
    encoded: "DataFrame", job: "EmbedJob | ClassifyJob", builder: ColumnBuilder, model: Mapping[str, Any]
) -> "DataFrame":
    """Return the table to write: the rows that are kept, the columns of the input, and the new column."""
    value = _value(job, builder).alias(job.output_column, metadata=column_metadata(_metadata(job, builder, model)))
    return encoded.where(_is_kept(encoded, job)).select(*map(quoted_column, _names(encoded)), value)


def _metadata(job: "EmbedJob | ClassifyJob", builder: ColumnBuilder, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table says of the new column: the model, and the options that decide the values."""
    metadata = {**{name: model.get(name) for name in _MODEL_METADATA}, **builder.metadata, "model": job.model}
    return metadata | {"text_columns": list(job.text_columns), "id_column": job.id_column}


def _names(encoded: "DataFrame") -> list[str]:
    """Return the columns of the input."""
    return [name for name in encoded.columns if not name.startswith(RESERVED)]


def _is_kept(encoded: "DataFrame", job: "EmbedJob | ClassifyJob") -> "Column":
    """Return a condition: the row is written to the output."""
    return sf.col(PROBLEM).isNull() if job.on_error == "quarantine" else readable(encoded)


def _value(job: "EmbedJob | ClassifyJob", builder: ColumnBuilder) -> "Column":
    """Return the new column; null for bad rows if the job writes them so."""
    return sf.when(sf.col(PROBLEM).isNull(), builder.value) if job.on_error == "null" else builder.value

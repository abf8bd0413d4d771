"""What the embed and classify jobs share: read a table, add a column that a model makes, write the table."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.embedding import model_info
from st_spark.errors import RecipeError
from st_spark.spark.hold import held
from st_spark.spark.progress import follow
from st_spark.specs.row_jobs import EmbedJob
from st_spark.steps import bad_rows as bad_row_limit
from st_spark.steps import chunks, output_table
from st_spark.steps.changed_rows import read_changes
from st_spark.steps.merge import Merge
from st_spark.steps.new_column import ColumnBuilder, NewColumn, input_columns
from st_spark.steps.resume import Resume
from st_spark.steps.timings import Timings
from st_spark.tables import bad_rows, io
from st_spark.tables.bad_rows import PROBLEM
from st_spark.tables.changes import TEXT_HASH, check_unique, text_hash
from st_spark.tables.columns import CORRUPT, check_columns, check_new_column, readable
from st_spark.tables.decoding import checked_count, count_bad_texts, is_undecodable
from st_spark.tables.row_counts import RowCounts, count_ids, count_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.row_jobs import ClassifyJob
    from st_spark.steps.changed_rows import ChangedRows
    from st_spark.tables.writers import Writer

    Build = Callable[[DataFrame, Writer], ColumnBuilder]

# The counts of a job, and what its result says of rejected rows.
_Written = tuple[dict[str, int], dict[str, Any]]


@dataclass(frozen=True)
class _Input:
    """The input of a job.

    Attributes:
        df: Its rows, with the types of the table that they are added to.
        format: Format of the table.
        feed: The changed rows, if the job reads these alone.
        size: Number of rows and partitions.
        id_counts: null_id and duplicate_id, if there is an id column.
        read: Rows of the input; `df` has more if it has a row for each chunk.
        lossy: Whether Spark put U+FFFD in place of bytes that it could not decode. A job that only counts bad rows does
            not look, and says False.
    """

    df: "DataFrame"
    format: str
    feed: "ChangedRows | None"
    size: RowCounts
    id_counts: dict[str, int]
    lossy: bool
    read: int


def run(spark: "SparkSession", job: "EmbedJob | ClassifyJob", timings: Timings, build: "Build") -> dict[str, Any]:
    """Run a job; see embed.run() and classify.run() for the result.

    Args:
        spark: The session.
        job: The job.
        timings: Measures the phases.
        build: Sends the model to the workers, and returns the column builder for the input and the output.
    """
    with output_table.opened(spark, job) as output, ExitStack() as stack:
        with timings("read", f"Reading {job.input}"):
            source = _read(spark, job, output)
        if isinstance(job, EmbedJob) and job.writes_chunks:
            with timings("chunk", f"Cutting the texts of {source.read:,} rows"):
                df, size = chunks.cut(source.df, job, source.size, stack)
                source = replace(source, df=df, size=size)
        with timings("load", f"Loading {job.model}"):
            model = model_info.describe(spark, job, source.size.first_tasks)
            column, encoded = _prepare(source, output, build, job, model)
        work = _Work(source, column, output, timings)
        if isinstance(job, EmbedJob):
            resume = Resume(spark, job, output.writer, column.metadata, timings, stack)
            merges = output.writer.merges
            totals, rejected = work.merge(encoded, resume, job) if merges else work.write_all(encoded, resume)
        else:
            totals, rejected = work.write_all(encoded, None)
        if source.feed:
            source.feed.keep(output.writer)
    if CORRUPT in source.df.columns and totals.get("undecodable"):
        with suppress(Exception):  # the table is written, so the job must not fail now: the input may be gone
            path = io.reader_path(spark, job.input)
            totals["undecodable"] = checked_count(spark, path, job.input_encoding, totals["undecodable"])
    return _describe(work, totals) | rejected


def _describe(work: "_Work", totals: dict[str, int]) -> dict[str, Any]:
    """Return the result of a job."""
    job, source = work.column.job, work.source
    tokens, duplicates = totals.pop("tokens"), totals.pop("duplicates")
    encoded_rows = totals["new"] + totals["changed"] if "new" in totals else totals["out"]
    encoded_rows -= totals.get("resumed", 0)
    feed = source.feed.describe() if source.feed else {}
    cut = {"chunks": source.size.rows} if isinstance(job, EmbedJob) and job.writes_chunks else {}
    return {
        "rows": totals | {"in": source.read} | cut | source.id_counts,
        "rows_per_second": work.timings.rate(encoded_rows, "encode_and_write"),
        "duplicates": duplicates,
        "tokens": tokens,
        "model": work.column.model,
        "input": {"path": job.input, "format": source.format, **feed},
        "output": work.output.describe(column=job.output_column),
    }


def _read(spark: "SparkSession", job: "EmbedJob | ClassifyJob", output: output_table.OutputTable) -> _Input:
    """Read the input, and check it before the work."""
    table_format = job.input_format or io.find_format(spark, job.input)
    feed = read_changes(spark, job, table_format, output.writer) if isinstance(job, EmbedJob) else None
    df = feed.rows if feed else io.read(spark, job.input, table_format, job.input_encoding, job.schema)
    check_columns(df.schema, job.input, job.text_columns, (job.id_column,) if job.id_column else (), images=True)
    check_new_column(df, job.input, job.output_column, "name the new column: --output-column.")
    if isinstance(job, EmbedJob):
        chunks.check(df, job)
    df = output.writer.fit(df, job.input)
    output.partitions = output.writer.count_partitions(df, job.input)
    size, id_counts = count_rows(df), count_ids(df, job.id_column)
    if job.mode == "merge" and any(id_counts.values()):  # it names some of them
        check_unique(df.where(readable(df)), job.input, str(job.id_column))
    lossy = job.finds_bad_rows and _check_texts(df, job, size.rows)
    return _Input(df, table_format, feed, size, id_counts, lossy, size.rows)


def _check_texts(df: "DataFrame", job: "EmbedJob | ClassifyJob", rows: int) -> bool:
    """Check before the work that not too many rows of a CSV or JSON file are bad. Return _Input.lossy."""
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
    return bad_rows.name_some(_rejected(rows), job.id_column)


def _rejected(rows: "DataFrame") -> "DataFrame":
    return bad_rows.rejected(rows, input_columns(rows))


def _prepare(
    source: _Input,
    output: output_table.OutputTable,
    build: "Build",
    job: "EmbedJob | ClassifyJob",
    model: dict[str, Any],
) -> "tuple[NewColumn, DataFrame]":
    """Return the column, and the encoded input. Check that rows of a table to add to were made alike."""
    try:
        column = NewColumn(job, build(source.df, output.writer), model)
        encoded = column.encode(source.df, source.size)
        output.writer.check(column.output(column.mark(encoded, lossy=False)).schema, job.output_column)
    except RecipeError:
        if not isinstance(job, EmbedJob) or job.on_new_recipe != "rebuild":
            raise
        Merge(job, source.df, source.size.rows, output, Timings()).check_rebuild()
        output.writer = replace(output.writer, mode="rebuild")
        return _prepare(source, output, build, job, model)
    return column, encoded


@dataclass(frozen=True)
class _Work:
    """What is left to do when the input is read and the model is loaded."""

    source: _Input
    column: NewColumn
    output: output_table.OutputTable
    timings: Timings

    def merge(self, encoded: "DataFrame", resume: Resume, job: EmbedJob) -> _Written:
        """Bring the table up to date."""
        source, column = self.source, self.column
        deleted = source.feed.deleted if source.feed else None
        merge = Merge(job, source.df, source.size.rows, self.output, self.timings, deleted)
        of_texts = column.conditions(encoded.drop(CORRUPT))
        builder = replace(column.builder, value=column.value)
        return merge.run(builder, of_texts, resume, partial(column.mark, lossy=source.lossy))

    def write_all(self, encoded: "DataFrame", resume: Resume | None) -> _Written:
        """Encode and write all rows."""
        source, column = self.source, self.column
        rows, model = source.size.rows, column.model
        text = f"Encoding {rows:,} rows on {model['device']} in {model['dtype']}"
        if resume:
            hashed = sf.when(readable(source.df), text_hash(column.job.text_columns))
            hashed_rows = source.df.withColumn(TEXT_HASH, hashed)
            kept = resume.encode(hashed_rows, source.size, column.texts(source.df), column.builder.function)
            if kept is not None:
                encoded, text = kept, f"Writing {column.job.output}"
        return self._write(column.mark(encoded, lossy=source.lossy), text)

    def _write(self, encoded: "DataFrame", text: str) -> _Written:
        """Write the encoded rows, and the rejected ones to a table of their own.

        The rows are needed several times to check or to split them. Executors keep them on their disks then.
        """
        job, df, size, output = self.column.job, self.source.df, self.source.size, self.output
        conditions = self.column.conditions(encoded)
        conditions |= {"undecodable": is_undecodable(df, df.columns)} if CORRUPT in df.columns else {}
        several = job.limits_bad_rows or output.rejected is not None
        output.check_rejected(_rejected(encoded))
        with held(encoded) if several else nullcontext(encoded) as rows:
            if job.limits_bad_rows:
                self._check_bad_rows(rows, text)
            counts = Observation("st_spark")
            out = self.column.output(self.column.observe(rows, counts, conditions))
            totals = output.write(out, counts, "out", self.timings, "encode_and_write", text, size.rows, size.tasks)
            bad = _rejected(rows)
            if output.keeps_rejected:
                return totals, output.write_rejected(output.add_other_partitions(bad, rows))
            return totals, output.write_rejected(bad, totals.get("bad", 0))

    def _check_bad_rows(self, rows: "DataFrame", text: str) -> None:
        """Encode the rows, which are held, and check that not too many are bad."""
        job, size = self.column.job, self.source.size
        with self.timings("encode_and_write", text), follow(rows.sparkSession, size.rows, size.tasks):
            reasons = rows.where(sf.col(PROBLEM).isNotNull()).groupBy(f"{PROBLEM}.{bad_rows.REASON}").count()
            found = {row[0]: row[1] for row in reasons.collect()}
        bad_row_limit.check(job, job.input, size.rows, found, lambda: _first(rows, job))

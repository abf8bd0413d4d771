"""The input of the join, dedup, cluster and mining jobs: a table of vectors, or a table of texts to encode first."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType, StringType

from st_spark.choices import BITS, SCORES
from st_spark.embedding import model_info
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import encode, prepare
from st_spark.errors import InputError
from st_spark.spark.hold import held
from st_spark.spark.progress import follow
from st_spark.steps.reuse import Choice, choose
from st_spark.tables import bad_rows, io
from st_spark.tables.bad_rows import PROBLEM, REASON
from st_spark.tables.columns import CORRUPT, RESERVED, check_columns, quoted_column, readable
from st_spark.tables.conditions import filter_rows
from st_spark.tables.decoding import count_bad_texts
from st_spark.tables.metadata import vector_column
from st_spark.tables.row_counts import count_rows
from st_spark.tables.vector_types import vector_values

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.join.input_stats import TableStats
    from st_spark.specs.fields import VectorInput
    from st_spark.steps.timings import Timings

_VECTOR = f"{RESERVED}vector"
# Options of the other table's vectors that the texts are encoded with, too.
_SHARED = ("normalize_embeddings", "truncate_dim", "max_seq_length")
_MODEL_METADATA = ("revision", "content", "dim", "dtype", "similarity", "max_seq_length")


@dataclass(frozen=True)
class VectorTable:
    """A table with vectors.

    Attributes:
        where: Path or name of the table.
        df: Its rows, without corrupt ones: the columns that the job needs, and the vectors.
        rows: The same rows with all columns of the table.
        vector: Name of the vector column.
        source: Name of the column of the vectors, or of the texts that were encoded.
        metadata: How the vectors were made: model, content, similarity and others; {} if unknown.
        unread: Number of rows that `df` leaves out, by reason: "corrupt", and "undecodable" if the job finds bad rows.
        undecodable: Number of rows of `df` with a character that could not be decoded.
        bad: The rows that `unread` counts, with PROBLEM; None if there are none.
        origin: "embedded" if the job made the vectors; "reused" if it has a model, and the table had vectors; else "".
    """

    where: str
    df: "DataFrame"
    rows: "DataFrame"
    vector: str
    source: str
    metadata: Mapping[str, Any]
    unread: dict[str, int]
    undecodable: int
    bad: "DataFrame | None"
    origin: str = ""

    def score(self, chosen: str | None) -> str:
        """Return how to compare the vectors: as chosen, else the model's similarity, else cosine. Bits have cosine."""
        bits = self.metadata.get("precision") in BITS
        score = chosen or ("cosine" if bits else str(self.metadata.get("similarity", "cosine")))
        if score not in SCORES:
            raise InputError(
                f"The model of the vectors uses {score} similarity, which joins do not support.",
                f"choose --score {' or '.join(SCORES)}.",
            )
        return score

    def describe(self, stats: "TableStats") -> dict[str, Any]:
        """Return what a job's result says of the table.

        Returns:
            path, rows, kept (joined rows), set_aside (other rows, by reason), dimension; with a model vectors ("reused"
            or "embedded").
        """
        total, set_aside = stats.rows + sum(self.unread.values()), stats.set_aside | self.unread
        rows = {"rows": total, "kept": stats.kept, "set_aside": set_aside}
        undecodable = {"undecodable": self.undecodable} if self.undecodable else {}
        vectors = {"vectors": self.origin} if self.origin else {}
        return {"path": self.where, **rows, **undecodable, "dimension": stats.dimension, **vectors}

    @property
    def model(self) -> dict[str, Any] | None:
        """The model that made the vectors, None if unknown."""
        if "model" not in self.metadata:
            return None
        values = {name: self.metadata.get(name) for name in _MODEL_METADATA}
        return {"name": self.metadata["model"], **{name: value for name, value in values.items() if value is not None}}


@dataclass(frozen=True)
class Source:
    """A table to open.

    Attributes:
        where: Path or name of the table.
        format: Its format, by default found from its name.
        names: Columns that the job needs, besides vectors.
        column: The vector column, by default the only one.
        text: The text column to encode; None if the table has vectors.
        types: Types of columns of CSV and JSON lines; see io.read().
        condition: SQL condition that the rows must meet; None for all rows.
        condition_option: The name of its option, for errors.
    """

    where: str
    format: str | None
    names: Sequence[str]
    column: str | None
    text: str | None
    types: str | None
    condition: str | None = None
    condition_option: str = "where"


def open_tables(
    spark: "SparkSession",
    job: "VectorInput",
    timings: "Timings",
    sources: Sequence[Source],
    stack: ExitStack,
) -> list[VectorTable]:
    """Open the tables of a job. They are closed with the stack.

    If a table has vectors of the job's model, these are used in place of its texts; see reuse.choose(). The texts of
    the other table are encoded with the same options. Executors keep the vectors that a job makes on disk.
    """
    read = [_read(spark, job, timings, source) for source in sources]  # all are checked before one is encoded
    like = next((each.chosen.metadata for each in read if each.chosen.column is not None), {})
    return [stack.enter_context(_open(spark, job, timings, each, like)) for each in read]


@dataclass(frozen=True)
class _Rows:
    """The rows of a table, and which vectors are used."""

    source: Source
    df: "DataFrame"
    chosen: Choice


def _read(spark: "SparkSession", job: "VectorInput", timings: "Timings", source: Source) -> _Rows:
    """Read the rows of a table that meet the condition, and check its columns."""
    where, column, text = source.where, source.column, source.text
    with timings("read", f"Reading {where}"):
        df = io.read(spark, where, source.format, job.input_encoding, source.types)
        df = filter_rows(df, source.condition, source.condition_option, where)
        chosen = Choice(*vector_column(df.schema, where, column)) if text is None else None
        chosen = chosen or choose(df.schema, where, job, column, str(text))
        texts = (text,) if text and chosen.column is None else ()
        images = any(name in df.columns and isinstance(df.schema[name].dataType, BinaryType) for name in texts)
        check_columns(df.schema, where, texts, source.names, images=images and _reads_images(job))
    return _Rows(source, df, chosen)


@contextmanager
def _open(
    spark: "SparkSession",
    job: "VectorInput",
    timings: "Timings",
    rows: _Rows,
    like: Mapping[str, Any],
) -> Iterator[VectorTable]:
    """Open a table; `like` is the recipe of the vectors that its texts are compared with."""
    where, vector, metadata = rows.source.where, rows.chosen.column, rows.chosen.metadata
    names, text = list(dict.fromkeys(rows.source.names)), rows.source.text
    with timings("read", f"Counting unreadable rows of {where}"):
        split = _split(rows.df, job, where, [*names, *([str(text)] if vector is None else [])])
    df, counts = split[0], split[1:]
    if vector is not None:
        others = [quoted_column(name) for name in names if name != vector]
        with held(df.select(*others, vector_values(df.schema, vector))) as held_rows:
            yield VectorTable(where, held_rows, df, vector, vector, metadata, *counts, "reused" if text else "")
        return
    with timings("load", f"Loading {job.model}"):
        options = {name: value for name, value in job.encoding.items() if value is not None}
        shared = {name: like[name] for name in _SHARED if like.get(name) is not None} | options
        vectors = encode(str(text), model=str(job.model), revision=job.revision, dtype=job.dtype, **shared)
        size = count_rows(rows.df)
        model = model_info.describe(spark, job, size.first_tasks)
    with held(size.repartition(df).select(*map(quoted_column, names), vectors.alias(_VECTOR))) as held_rows:
        with timings("encode", f"Encoding {size.rows:,} rows of {where}"), follow(spark, size.rows, size.tasks):
            held_rows.select(sf.count(_VECTOR)).collect()
        made = {name: shared[name] for name in _SHARED if name in shared}
        made |= {"model": model["name"], "dim": shared.get("truncate_dim", model["dim"])}
        yield VectorTable(where, held_rows, df, _VECTOR, str(text), model | made, *counts, "embedded")


def _reads_images(job: "VectorInput") -> bool:
    """Return whether the model of a job reads images."""
    options = EncodeOptions(**job.encoding)
    return job.model is not None and prepare(job.model, options, job.revision, job.dtype)[1].images


def types_of_second(
    spark: "SparkSession", job: "VectorInput", where: str, table_format: str | None, given: str | None
) -> str | None:
    """Return the types of the second table: as given, else those of the first if it has none of its own."""
    if given or job.schema is None:
        return given
    return job.schema if (table_format or io.find_format(spark, where)) in io.TEXT_FORMATS else None


def _split(
    df: "DataFrame", job: "VectorInput", where: str, names: Sequence[str]
) -> "tuple[DataFrame, dict[str, int], int, DataFrame | None]":
    """Return the rows without bad ones, and the last three fields of VectorTable."""
    path = io.reader_path(df.sparkSession, where)
    counts = count_bad_texts(df, path, names, job.input_encoding)
    corrupt, undecodable = counts["corrupt"], counts["undecodable"]
    if not job.finds_bad_rows:
        return df.where(readable(df)).drop(CORRUPT), {"corrupt": corrupt} if corrupt else {}, undecodable, None
    texts = [name for name in names if isinstance(df.schema[name].dataType, StringType)]
    marked = df.withColumn(PROBLEM, bad_rows.unread(df, texts, lossy=undecodable > 0))
    bad = marked.where(sf.col(PROBLEM).isNotNull())
    found = {row[0]: row[1] for row in bad.groupBy(f"{PROBLEM}.{REASON}").count().collect()}
    return marked.where(sf.col(PROBLEM).isNull()).drop(PROBLEM, CORRUPT), found, 0, bad if found else None

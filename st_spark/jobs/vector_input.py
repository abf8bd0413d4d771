"""The input of the join, dedup and mining jobs: a table of vectors, or a table of texts to encode first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import StringType

from st_spark.choices import SCORES
from st_spark.embedding import model_info
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import encode, prepare
from st_spark.errors import InputError
from st_spark.spark.hold import held
from st_spark.spark.progress import follow
from st_spark.tables import bad_rows, io
from st_spark.tables.bad_rows import PROBLEM, REASON
from st_spark.tables.columns import CORRUPT, RESERVED, check_columns, quoted_column, readable
from st_spark.tables.decoding import count_bad_texts
from st_spark.tables.metadata import vector_column
from st_spark.tables.row_counts import count_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.jobs.timings import Timings
    from st_spark.join.input_stats import TableStats
    from st_spark.specs.fields import VectorInput
    from st_spark.specs.jobs import JoinJob, MineJob

_VECTOR = f"{RESERVED}vector"
_MODEL_METADATA = ("revision", "content", "dim", "dtype", "similarity", "max_seq_length")


@dataclass(frozen=True)
class VectorTable:
    """A table with vectors.

    Attributes:
        where: Path or name of the table.
        df: Its rows, without corrupt ones.
        vector: Name of the vector column.
        source: Name of the column of the vectors, or of the texts that were encoded.
        metadata: How the vectors were made: model, content, similarity and others; {} if unknown.
        unread: Number of rows without bad ones, by reason: "corrupt", and "undecodable" if the job finds bad rows.
        undecodable: Number of rows of `df` with a character that could not be decoded.
        bad: The rows that `unread` counts, with PROBLEM; None if there are none.
    """

    where: str
    df: "DataFrame"
    vector: str
    source: str
    metadata: dict[str, Any]
    unread: dict[str, int]
    undecodable: int
    bad: "DataFrame | None"

    def score(self, chosen: str | None) -> str:
        """Return how to compare the vectors: as chosen, else the similarity of their model, else cosine."""
        score = chosen or str(self.metadata.get("similarity", "cosine"))
        if score not in SCORES:
            raise InputError(
                f"The model of the vectors uses {score} similarity, which joins do not support.",
                f"choose --score {' or '.join(SCORES)}.",
            )
        return score

    def describe(self, stats: "TableStats") -> dict[str, Any]:
        """Return what a job's result says of the table: path, rows, kept (joined rows), set_aside, dimension."""
        total, set_aside = stats.rows + sum(self.unread.values()), stats.set_aside | self.unread
        rows = {"rows": total, "kept": stats.kept, "set_aside": set_aside}
        undecodable = {"undecodable": self.undecodable} if self.undecodable else {}
        return {"path": self.where, **rows, **undecodable, "dimension": stats.dimension}

    @property
    def model(self) -> dict[str, Any] | None:
        """The model that made the vectors, None if unknown."""
        if "model" not in self.metadata:
            return None
        values = {name: self.metadata.get(name) for name in _MODEL_METADATA}
        return {"name": self.metadata["model"], **{name: value for name, value in values.items() if value is not None}}


@contextmanager
def open_vectors(
    spark: "SparkSession",
    job: "VectorInput",
    timings: "Timings",
    where: str,
    table_format: str | None,
    names: Sequence[str],
    column: str | None,
    text: str | None,
    types: str | None,
) -> Iterator[VectorTable]:
    """Open a table. If its texts are encoded first, executors keep the vectors on disk until the table is closed.

    Args:
        spark: The session.
        job: The job, with the options of the model.
        timings: Measures the phases.
        where: Path or name of the table.
        table_format: Format of the table, by default found from its name.
        names: Other columns that the job needs.
        column: The vector column, by default the only one.
        text: The text column to encode; None if the table has vectors.
        types: Types of columns of CSV and JSON lines; see io.read().
    """
    with timings("read", f"Reading {where}"):
        df = whole = io.read(spark, where, table_format, job.input_encoding, types)
        check_columns(df.schema, where, (text,) if text else (), names, images=_reads_images(job))
        df, unread, undecodable, bad = _split(df, job, where, [*names, *([text] if text else [])])
        counts = (unread, undecodable, bad)
    if text is None:
        vector, metadata = vector_column(df.schema, where, column)
        with held(df.select(*map(quoted_column, dict.fromkeys((*names, vector))))) as rows:
            yield VectorTable(where, rows, vector, vector, metadata, *counts)
        return
    with timings("load", f"Loading {job.model}"):
        vectors = encode(text, model=str(job.model), revision=job.revision, dtype=job.dtype, **job.encoding)
        size = count_rows(whole)
        model = model_info.describe(spark, job, size.first_tasks)
    with held(size.repartition(df).select(*map(quoted_column, names), vectors.alias(_VECTOR))) as rows:
        with timings("encode", f"Encoding {size.rows:,} rows of {where}"), follow(spark, size.rows, size.tasks):
            rows.select(sf.count(_VECTOR)).collect()
        yield VectorTable(where, rows, _VECTOR, text, {**model, "model": model["name"]}, *counts)


def _reads_images(job: "VectorInput") -> bool:
    """Return whether the model of a job reads images."""
    options = EncodeOptions(**job.encoding)
    return job.model is not None and prepare(job.model, options, job.revision, job.dtype)[1].images


def types_of_second(
    spark: "SparkSession", job: "JoinJob | MineJob", where: str, table_format: str | None, given: str | None
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

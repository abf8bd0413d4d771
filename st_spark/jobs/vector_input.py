"""The input of the join, dedup and mining jobs: a table of vectors, or a table of texts to encode first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import functions as sf

from st_spark.choices import SCORES
from st_spark.embedding import model_info
from st_spark.embedding.encode import encode
from st_spark.errors import InputError
from st_spark.spark.progress import follow
from st_spark.tables import io
from st_spark.tables.columns import CORRUPT, check_columns, quoted_column, readable
from st_spark.tables.metadata import vector_column
from st_spark.tables.row_counts import count_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.jobs.timings import Timings
    from st_spark.join.input_stats import SideSurvey
    from st_spark.specs.jobs import DedupJob, JoinJob, MineJob

_VECTOR = "_st_spark_vector"
_MODEL_METADATA = ("revision", "content", "dim", "dtype", "similarity")


@dataclass(frozen=True)
class VectorTable:
    """A table with vectors.

    Attributes:
        where: Path or name of the table.
        df: Its rows, without corrupt ones.
        vector: Name of the vector column.
        metadata: How the vectors were made: model, content, similarity and others; {} if unknown.
        corrupt: Number of rows that could not be read, of CSV or JSON lines.
    """

    where: str
    df: "DataFrame"
    vector: str
    metadata: dict[str, Any]
    corrupt: int

    def score(self, chosen: str | None) -> str:
        """Return how to compare the vectors: as chosen, else the similarity of their model, else cosine."""
        score = chosen or str(self.metadata.get("similarity", "cosine"))
        if score not in SCORES:
            raise InputError(
                f"The model of the vectors uses {score} similarity, which joins do not support.",
                f"choose --score {' or '.join(SCORES)}.",
            )
        return score

    def describe(self, stats: "SideSurvey") -> dict[str, Any]:
        """Return what a job's result says of the table: path, rows, kept (joined rows), set_aside and dimension."""
        set_aside = stats.set_aside | ({"corrupt": self.corrupt} if self.corrupt else {})
        rows = {"rows": stats.rows + self.corrupt, "kept": stats.kept, "set_aside": set_aside}
        return {"path": self.where, **rows, "dimension": stats.dimension}

    @property
    def model(self) -> dict[str, Any] | None:
        """The model that made the vectors, None if unknown."""
        if "model" not in self.metadata:
            return None
        values = {name: self.metadata.get(name) for name in _MODEL_METADATA}
        return {"name": self.metadata["model"], **{name: value for name, value in values.items() if value is not None}}


def check_same_model(one: VectorTable, other: VectorTable) -> None:
    """Check that the vectors of two tables come from one model; InputError if not."""
    keys = [one.metadata.get("content"), other.metadata.get("content")]
    if None not in keys and keys[0] != keys[1]:
        raise InputError(
            f"{one.where} was embedded with {one.metadata.get('model')}, "
            f"{other.where} with {other.metadata.get('model')}.",
            "embed both tables with one model.",
        )


@contextmanager
def open_vectors(
    spark: "SparkSession",
    job: "DedupJob | JoinJob | MineJob",
    timings: "Timings",
    where: str,
    table_format: str | None,
    names: Sequence[str],
    column: str | None,
    text: str | None,
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
    """
    with timings("read", f"Reading {where}"):
        df = whole = io.read(spark, where, table_format)
        corrupt = 0
        if CORRUPT in df.columns:
            # Spark cannot read CORRUPT alone, so another column is counted too.
            corrupt = df.agg(sf.count(quoted_column(CORRUPT)), sf.count(quoted_column(df.columns[0]))).collect()[0][0]
            df = df.where(readable(df)).drop(CORRUPT)
        check_columns(df.schema, where, (text,) if text else (), names)
    if text is None:
        vector, metadata = vector_column(df.schema, where, column)
        yield VectorTable(where, df, vector, metadata, corrupt)
        return
    with timings("load", f"Loading {job.model}"):
        size = count_rows(whole)
        model = model_info.describe(spark, job, size.first_tasks)
    with timings("encode", f"Encoding {size.rows:,} rows of {where}"), follow(spark, size.rows, size.tasks):
        vectors = encode(text, model=str(job.model), revision=job.revision, dtype=job.dtype, prompt=job.prompt)
        rows = size.repartition(df).select(*map(quoted_column, names), vectors.alias(_VECTOR))
        rows = rows.persist(StorageLevel.DISK_ONLY)
        rows.select(sf.count(_VECTOR)).collect()
    try:
        yield VectorTable(where, rows, _VECTOR, {**model, "model": model["name"]}, corrupt)
    finally:
        rows.unpersist()

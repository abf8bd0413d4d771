"""The vectors of a table: those in it, or those that a model makes of its texts."""

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
from st_spark.tables.columns import CORRUPT, check_columns, exact, vector_column
from st_spark.tables.row_counts import survey

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.jobs.timings import Phases
    from st_spark.join.input_stats import TableStats
    from st_spark.specs.jobs import DedupJob, JoinJob, MineJob

_VECTOR = "_st_spark_vector"


@dataclass(frozen=True)
class Source:
    """A table with vectors.

    Attributes:
        where: Path or name of the table.
        df: Its rows; of CSV and JSON lines without those that are corrupt.
        vector: The column of the vectors.
        facts: How they were made, {} where nobody says; with model, content and similarity, for instance.
        corrupt: Rows of CSV or JSON lines that cannot be read.
    """

    where: str
    df: "DataFrame"
    vector: str
    facts: dict[str, Any]
    corrupt: int

    def score(self, chosen: str | None) -> str:
        """How to compare the vectors: as chosen, else as suits their model, else by cosine.

        Raises:
            InputError: The model compares them otherwise than a join can.
        """
        found = chosen or str(self.facts.get("similarity", "cosine"))
        if found not in SCORES:
            raise InputError(
                f"The vectors' model compares them by {found}, which joins do not know.",
                f"choose --score {' or '.join(SCORES)}.",
            )
        return found

    def told(self, found: "TableStats") -> dict[str, Any]:
        """What a job's result says of the table: path, rows, kept (those to be joined), set_aside and dimension."""
        aside = found.set_aside | ({"corrupt": self.corrupt} if self.corrupt else {})
        rows = {"rows": found.rows + self.corrupt, "kept": found.kept, "set_aside": aside}
        return {"path": self.where, **rows, "dimension": found.dimension}

    @property
    def model(self) -> dict[str, Any] | None:
        """What made the vectors, as far as it is known."""
        if "model" not in self.facts:
            return None
        told = ("revision", "content", "dim", "dtype", "similarity")
        known = {name: self.facts[name] for name in told if self.facts.get(name) is not None}
        return {"name": self.facts["model"], **known}


def check_same_model(one: Source, other: Source) -> None:
    """Raises InputError where two models made the vectors: of one size perhaps, they mean nothing to each other."""
    keys = [one.facts.get("content"), other.facts.get("content")]
    if None not in keys and keys[0] != keys[1]:
        raise InputError(
            f"{one.where} was embedded with {one.facts.get('model')}, {other.where} with {other.facts.get('model')}.",
            "embed both tables with one model.",
        )


@contextmanager
def opened(
    spark: "SparkSession",
    job: "DedupJob | JoinJob | MineJob",
    phases: "Phases",
    where: str,
    table_format: str | None,
    *,
    names: Sequence[str],
    column: str | None,
    text: str | None,
) -> Iterator[Source]:
    """Opens a table. Vectors that are made here stay on the disks of the executors until it is closed.

    Args:
        spark: The session.
        job: What says the model.
        phases: Where the seconds go.
        where: Path or name of the table.
        table_format: Its format, told from the name if None.
        names: Columns that are needed beside the vectors.
        column: The column of the vectors; the only one if None.
        text: The column of the texts if the job has a model.

    Raises:
        InputError: A column is missing, or there are several to choose from.
        TableError: The table cannot be read.
        ModelError: The model cannot be had.
    """
    with phases("read", f"Reading {where}"):
        df = whole = io.read(spark, where, table_format)
        corrupt = 0
        if CORRUPT in df.columns:
            # With another column, for Spark refuses to read this one alone from the files.
            corrupt = df.agg(sf.count(exact(CORRUPT)), sf.count(exact(df.columns[0]))).collect()[0][0]
            df = df.where(exact(CORRUPT).isNull()).drop(CORRUPT)
        check_columns(df.schema, where, (text,) if text else (), tuple(names))
    if text is None:
        vector, facts = vector_column(df.schema, where, column)
        yield Source(where, df, vector, facts, corrupt)
        return
    with phases("load", f"Loading {job.model}"):
        found = survey(whole)
        model = model_info.describe(spark, job, min(found.cores, found.wanted))
    with phases("encode", f"Encoding {found.rows:,} rows of {where}"):
        cut = df if found.fits else df.repartition(found.wanted)
        made = encode(text, model=str(job.model), revision=job.revision, dtype=job.dtype, prompt=job.prompt)
        kept = cut.select(*map(exact, names), made.alias(_VECTOR)).persist(StorageLevel.DISK_ONLY)
        with follow(spark, found.rows, len(found.partitions) if found.fits else found.wanted):
            kept.select(sf.count(_VECTOR)).collect()
    try:
        yield Source(where, kept, _VECTOR, {**model, "model": model["name"]}, corrupt)
    finally:
        kept.unpersist()

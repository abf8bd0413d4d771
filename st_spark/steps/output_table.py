"""The table that a job writes: open it before the work, write it with its counts, describe it in the result."""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, reduce
from operator import and_
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark._version import __version__
from st_spark.errors import TableError
from st_spark.spark.progress import follow
from st_spark.specs.fields import Partitions
from st_spark.specs.pair_jobs import DedupJob
from st_spark.tables import provenance
from st_spark.tables.bad_rows import CORRUPT_ROW, REASON
from st_spark.tables.columns import RESERVED, quoted_column
from st_spark.tables.names import table_beside
from st_spark.tables.output import open_output

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
    from st_spark.specs.row_jobs import ClassifyJob, EmbedJob, IndexJob, SearchJob
    from st_spark.steps.timings import Timings
    from st_spark.tables.writers import Writer

_log = logging.getLogger(__name__)


@dataclass
class OutputTable:
    """The output of a job.

    Attributes:
        writer: Writes it.
        job: The kind of the job.
        job_id: Identifies the run: the result and the table have it.
        rejected: Writes the rejected rows, if the job keeps them.
        kept: Writes the input without its duplicates, if a dedup job is asked to.
        version: After write(), the version of a Delta table; else None.
        partitions: If only partitions are overwritten: how many are replaced, added and kept.
    """

    writer: "Writer"
    job: str
    job_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    rejected: "Writer | None" = None
    kept: "Writer | None" = None
    version: int | None = None
    partitions: dict[str, int] = field(default_factory=dict)

    def write(
        self,
        df: "DataFrame",
        counts: "Observation",
        written: str,
        timings: "Timings",
        phase: str,
        text: str,
        rows: int,
        tasks: int,
    ) -> dict[str, int]:
        """Write the table, measure the time, and show the progress.

        Args:
            df: The rows to write, observed by `counts`.
            counts: Aggregates of the rows.
            written: The aggregate that is the number of rows of the table.
            timings: Measures the phase; `phase` and `text` are its name and log line.
            phase: See timings.
            text: See timings.
            rows: Rows of the progress; see progress.follow().
            tasks: Tasks of the stage that does the work.

        Returns:
            The values of the aggregates, with 0 for null.
        """
        with timings(phase, text), follow(self.writer.spark, rows, tasks):
            with provenance.in_commits(self.writer.spark, self.record()):
                self.version = self.writer.write(df, lambda: counts.get[written] or 0)
            totals = {name: value or 0 for name, value in counts.get.items()}
            provenance.keep(self.writer, self.record(totals))
        if self.partitions:
            about = ", ".join(f"{name} {count:,}" for name, count in self.partitions.items())
            _log.info("Partitions of %s: %s", self.writer.where, about)
        return totals

    def merge(self, added: "DataFrame", old: "DataFrame", id_column: str, rows: int, counts: Mapping[str, int]) -> None:
        """Merge rows into the table; see Writer.merge(). The table keeps the counts with the record of the run."""
        record = self.record(counts)
        with provenance.in_commits(self.writer.spark, record):
            self.version = self.writer.merge(added, old, id_column, rows)
        provenance.keep(self.writer, record)

    def record(self, counts: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Return what the table keeps of this run; see describe.describe()."""
        application = self.writer.spark.conf.get("spark.app.id", None)
        about = {"job": self.job, "job_id": self.job_id, "st_spark": __version__, "application": application}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {**about, "time": now, "mode": self.writer.mode, "rows": dict(counts or {})}

    def check_rejected(self, rows: "DataFrame") -> None:
        """Check before the work that rejected rows fit the table of an earlier run that they are appended to."""
        if self.rejected is not None:
            self.rejected.check(rows.schema, REASON)

    @property
    def keeps_rejected(self) -> bool:
        """Whether the rejected rows of earlier runs stay, as far as their partitions are not overwritten."""
        return self.rejected is not None and self.rejected.exists and self.writer.replaces_partitions

    def add_other_partitions(self, rejected: "DataFrame", rows: "DataFrame") -> "DataFrame":
        """Return the rejected rows, with those of earlier runs whose partitions are not among the new rows.

        Args:
            rejected: The rejected rows of this run.
            rows: All rows of this run.
        """
        names = [quoted_column(name) for name in self.writer.partitions]
        here = rows.select(*(name.alias(f"{RESERVED}{place}") for place, name in enumerate(names))).distinct()
        same = reduce(and_, (name.eqNullSafe(sf.col(f"{RESERVED}{place}")) for place, name in enumerate(names)))
        earlier = self.rejected.read().where(sf.col(REASON) != CORRUPT_ROW) if self.rejected else rejected
        earlier = earlier.join(here, same, "left_anti")
        return rejected.unionByName(earlier, allowMissingColumns=True)

    def write_rejected(self, rows: "DataFrame", count: int | None = None) -> dict[str, Any]:
        """Write the table of rejected rows, after the output, and return what the result says of it.

        Args:
            rows: The rows.
            count: How many there are; by default they are counted.
        """
        if self.rejected is None:
            return {}
        counted = rows.count if count is None else lambda: count
        return {"rejected": self.write_other(self.rejected, rows, counted, "rejected")}

    def write_kept(self, rows: "DataFrame") -> dict[str, Any]:
        """Write the input without its duplicates, after the output, and return what the result says of it."""
        if self.kept is None:
            return {}
        counts = Observation("kept")
        observed = rows.observe(counts, sf.count(sf.lit(1)).alias("rows"))
        return {"kept": self.write_other(self.kept, observed, lambda: counts.get["rows"] or 0, "kept")}

    def write_other(self, writer: "Writer", rows: "DataFrame", count: Callable[[], int], what: str) -> dict[str, Any]:
        """Write another table after the output, and return what the result says of it.

        Args:
            writer: Writes the table.
            rows: Its rows.
            count: Called when the rows are staged; returns how many there are.
            what: What the rows are, for the table's record and for errors.

        Raises:
            TableError: The table cannot be written; the error says that the output is.
        """
        count = cache(count)
        try:
            with provenance.in_commits(writer.spark, self.record()):
                version = writer.write(rows, count)
            provenance.keep(writer, self.record({what: count()}))
        except Exception as error:
            raise TableError(
                f"{self.writer.where} is written, but its {what} rows are not in {writer.where}: {error}",
                "mend the cause and run the job again with --mode overwrite. To append again would add the rows twice, "
                "except to an index.",
            ) from error
        return {"path": writer.where, "format": writer.format, "rows": count(), "version": version}

    def describe(self, **more: str) -> dict[str, Any]:
        """Return what the result says of the table."""
        writer = self.writer
        about = {"path": writer.where, "format": writer.format, "mode": writer.mode, **more}
        partitions = {"partitions": self.partitions} if self.partitions else {}
        return about | partitions | {"version": self.version, "job_id": self.job_id}


@contextmanager
def opened(
    spark: "SparkSession",
    job: "EmbedJob | ClassifyJob | SearchJob | IndexJob | JoinJob | DedupJob | ClusterJob | MineJob",
) -> Iterator[OutputTable]:
    """Open the output of a job, and the table of its rejected rows. Clean up if the job fails; see open_output().

    An append adds to the rejected rows. A merge keeps the earlier ones whose ids are not in the input. An overwrite of
    partitions keeps those of the other partitions. Both drop the earlier corrupt rows. Other runs replace all of them.
    """
    inputs = job.tables()
    assert job.output is not None
    inputs.remove((job.output, job.output_format))
    for other in job.other_outputs():
        inputs.remove((other, None))
    partition_by = job.partition_columns if isinstance(job, Partitions) else ()
    with ExitStack() as stack:
        writer = stack.enter_context(open_output(spark, job.output, job.output_format, job.mode, inputs, partition_by))
        rejected = None
        if job.on_error == "quarantine":
            mode = "append" if job.mode == "append" else "overwrite"
            where = table_beside(job.output, "rejected")
            rejected = stack.enter_context(
                open_output(spark, where, writer.format, mode, inputs, provider=writer.provider)
            )
        kept = None
        if isinstance(job, DedupJob) and job.output_kept is not None:
            others = [*inputs, (job.output, job.output_format)]
            kept = stack.enter_context(open_output(spark, job.output_kept, job.output_format, job.mode, others))
        yield OutputTable(writer, job.kind, rejected=rejected, kept=kept)

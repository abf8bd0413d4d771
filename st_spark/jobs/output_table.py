"""The table that a job writes: open it before the work, write it with its counts, describe it in the result."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from st_spark.spark.progress import follow
from st_spark.specs.fields import Partitions
from st_spark.tables.output import open_output

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation, SparkSession

    from st_spark.jobs.timings import Timings
    from st_spark.specs.jobs import ClassifyJob, DedupJob, EmbedJob, JoinJob, MineJob
    from st_spark.tables.writers import Writer

_log = logging.getLogger(__name__)


@dataclass
class OutputTable:
    """The output of a job.

    Attributes:
        writer: Writes it.
        version: After write(), the version of a Delta table; else None.
        partitions: If only partitions are overwritten: how many are replaced, added and kept.
    """

    writer: "Writer"
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
            self.version = self.writer.write(df, lambda: counts.get[written] or 0)
        if self.partitions:
            about = ", ".join(f"{name} {count:,}" for name, count in self.partitions.items())
            _log.info("Partitions of %s: %s", self.writer.where, about)
        return {name: value or 0 for name, value in counts.get.items()}

    def describe(self, **more: str) -> dict[str, Any]:
        """Return what the result says of the table."""
        writer = self.writer
        partitions = {"partitions": self.partitions} if self.partitions else {}
        about = {"path": writer.where, "format": writer.format, "mode": writer.mode}
        return about | more | partitions | {"version": self.version}


@contextmanager
def opened(
    spark: "SparkSession", job: "EmbedJob | ClassifyJob | JoinJob | DedupJob | MineJob"
) -> Iterator[OutputTable]:
    """Open the output of a job, and clean up at the end if the job fails; see open_output()."""
    inputs = job.tables()
    inputs.remove((job.output, job.output_format))
    partition_by = job.partition_columns if isinstance(job, Partitions) else ()
    with open_output(spark, job.output, job.output_format, job.mode, inputs, partition_by) as writer:
        yield OutputTable(writer)

"""The table that a job writes: check it before the work, write it with its counts, describe it in the result."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from st_spark.errors import TableError
from st_spark.spark.progress import follow
from st_spark.tables import io

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation, SparkSession
    from pyspark.sql.types import StructType

    from st_spark.jobs.timings import Timings
    from st_spark.specs.jobs import ClassifyJob, DedupJob, EmbedJob, JoinJob, MineJob


@dataclass
class OutputTable:
    """The output of a job.

    Attributes:
        path: Path or name of the table.
        appends: Whether the job appends to a table that exists.
        version: After write(), the version of a Delta table; else None.
    """

    spark: "SparkSession"
    path: str
    format: str
    mode: str
    appends: bool
    version: int | None = None

    def check_append(self, schema: "StructType", column: str) -> None:
        """Check, if the job appends, that its rows fit the table; see io.check_append()."""
        if self.appends:
            io.check_append(self.spark, schema, self.path, self.format, column)

    def write(
        self, df: "DataFrame", counts: "Observation", timings: "Timings", phase: str, text: str, rows: int, tasks: int
    ) -> dict[str, int]:
        """Write the table, measure the time, and show the progress.

        Args:
            df: The rows to write, observed by `counts`.
            counts: Aggregates of the rows.
            timings: Measures the phase; `phase` and `text` are its name and log line.
            phase: See timings.
            text: See timings.
            rows: Rows of the progress; see progress.follow().
            tasks: Tasks of the stage that does the work.

        Returns:
            The values of the aggregates, with 0 for null.
        """
        with timings(phase, text), follow(self.spark, rows, tasks):
            self.version = io.write(df, self.path, self.format, self.mode)
        return {name: value or 0 for name, value in counts.get.items()}

    def describe(self, **more: str) -> dict[str, Any]:
        """Return what the result says of the table."""
        return {"path": self.path, "format": self.format, "mode": self.mode, **more, "version": self.version}


def prepare(spark: "SparkSession", job: "EmbedJob | ClassifyJob | JoinJob | DedupJob | MineJob") -> OutputTable:
    """Clean up after a crashed run; TableError if the output exists and mode is "error", or its name is not valid."""
    exists = io.prepare(spark, job.output, job.output_format)
    if exists and job.mode == "error":
        raise TableError(f"The output {job.output} exists.", "choose --mode overwrite or append, or another --output.")
    return OutputTable(spark, job.output, job.output_format, job.mode, exists and job.mode == "append")

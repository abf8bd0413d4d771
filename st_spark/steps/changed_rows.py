"""What a merge reads of a Delta table with Change Data Feed: the rows that have changed after a version, or all."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from st_spark.errors import InputError
from st_spark.tables.change_feed import DeltaSource, open_source
from st_spark.tables.last_source import keep_version, last_version

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.row_jobs import EmbedJob
    from st_spark.tables.writers import Writer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChangedRows:
    """Rows of a Delta table.

    Attributes:
        source: The table.
        rows: The rows that have changed, or all.
        since: The version after which they have changed; None if `rows` has all rows.
        deleted: ID of each row that was deleted since; None if `rows` has all rows.
        kept: Whether the output keeps the version: since_version is given, or was given to an earlier merge.
    """

    source: DeltaSource
    rows: "DataFrame"
    since: int | None = None
    deleted: "DataFrame | None" = None
    kept: bool = True

    def keep(self, writer: "Writer") -> None:
        """Keep with the output which version was read. If the job dies before this, the next one reads it again."""
        if not self.kept:
            return
        try:
            keep_version(writer, self.source.id, self.source.version)
        except Exception as error:  # noqa: BLE001  (the table is written, so the job must not fail now)
            _log.warning("%s is written, but not which version of its input was read: %s", writer.where, error)

    def describe(self) -> dict[str, int | None]:
        """Return what the result says: the version that was read, and the one before."""
        return {"version": self.source.version, "since_version": self.since}


def read_changes(spark: "SparkSession", job: "EmbedJob", table_format: str, writer: "Writer") -> ChangedRows | None:
    """Return what a merge reads of a Delta table with Change Data Feed; None for other jobs and inputs.

    A version that another source has left with the output is forgotten, because its rows are about to change.

    Raises:
        InputError: since_version is given, and there are no such changes, or no table to merge them into.
    """
    asked = job.since_version
    source = open_source(spark, job.input, table_format, needed=bool(asked)) if job.mode == "merge" else None
    last = last_version(writer, source.id) if source else None
    if writer.exists and job.mode != "append" and last is None:
        keep_version(writer, None)
    if source is None:
        return None
    since = last if asked == "last" else int(asked) if asked else None
    if since is None:
        return ChangedRows(source, source.read(), kept=bool(asked) or last is not None)
    if not writer.exists:
        raise InputError(
            f"There is no table {job.output} yet, and what has changed after version {since} is not all rows.",
            "use --since-version last: the first run then reads all rows.",
        )
    rows, deleted = source.changes(since, str(job.id_column))
    return ChangedRows(source, rows, since, deleted)

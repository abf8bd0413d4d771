"""Delete what killed jobs have left beside a table, if nobody runs them again."""

from typing import TYPE_CHECKING

from st_spark.spark.filesystem import files_of
from st_spark.tables.output import open_output
from st_spark.tables.slices import age, homes, remove

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def clean(spark: "SparkSession", output: str, table_format: str | None = None, seconds: float = 0) -> int:
    """Clean up beside a table: staged rows, interrupted writes, and finished rows that wait for a rerun.

    Args:
        spark: The session.
        output: Path or catalog name of the table. It need not exist: a first run can have been killed.
        table_format: "table" for a catalog name without a table.
        seconds: Only finished rows of runs that have kept nothing for so long are deleted.

    Returns:
        The number of runs whose finished rows were deleted.

    Raises:
        BusyError: A job writes the table.
    """
    files = files_of(spark)
    with open_output(spark, output, table_format, "append") as writer:  # this undoes interrupted writes
        found = homes(spark, output, writer.format)[1]
        return sum(remove(files, home, lambda run: age(files, run) >= seconds) for home in found)

"""Delete what killed jobs have left beside a table, if nobody runs them again."""

from typing import TYPE_CHECKING

from st_spark.errors import TableError
from st_spark.spark.filesystem import files_of
from st_spark.tables.catalog import table_exists
from st_spark.tables.lock import LOCK
from st_spark.tables.names import parse_name
from st_spark.tables.output import open_output
from st_spark.tables.slices import age, homes, remove

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.spark.filesystem import Files


def clean(spark: "SparkSession", output: str, table_format: str | None = None, seconds: float = 0) -> int:
    """Clean up beside a table: staged rows, interrupted writes, and finished rows that wait for a rerun.

    Args:
        spark: The session.
        output: Path or catalog name of the table. It need not exist: a first run can have been killed.
        table_format: "table" for a catalog name without a table.
        seconds: Only runs are deleted whose newest finished rows are at least so many seconds old.

    Returns:
        The number of runs whose finished rows were deleted.

    Raises:
        BusyError: A job writes the table.
        TableError: There is no such table, and nothing that a job has left.
    """
    files = files_of(spark)
    _check_place(spark, files, output, table_format)
    with open_output(spark, output, table_format, "append") as writer:  # this undoes interrupted writes
        found = homes(spark, output, writer.format)[1]
        return sum(remove(files, home, lambda run: age(files, run) >= seconds) for home in found)


def _check_place(spark: "SparkSession", files: "Files", output: str, table_format: str | None) -> None:
    """Check that a job has written here, before the lock makes a folder or a table; TableError if not."""
    name = parse_name(output)
    if name is not None and table_exists(spark, name):
        return
    if table_format == "table":
        if name is not None and not table_exists(spark, name.beside(LOCK)) and not homes(spark, output, "table")[1]:
            raise TableError(f"There is no table {output}, and nothing that a job has left.", "check the name.")
        return
    if files.exists(output):
        return
    parent, _, last = files.absolute(output).rstrip("/").rpartition("/")
    left = files.entries(f"{parent}/") if files.exists(f"{parent}/") else {}
    if not any(each.startswith(f".{last}.st-spark-") for each in left):
        raise TableError(
            f"There is nothing of st-spark beside {output}.",
            "check the path, or add --output-format table for a catalog name without a table.",
        )

"""Delete what killed jobs have left beside a table, if nobody runs them again."""

from typing import TYPE_CHECKING

from st_spark.errors import TableError
from st_spark.spark.filesystem import files_of
from st_spark.tables.catalog import table_exists
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
        seconds: Only finished rows of runs that have kept nothing for so long are deleted.

    Returns:
        The number of runs whose finished rows were deleted.

    Raises:
        BusyError: A job writes the table.
        TableError: There is no table at this path, and nothing that a job has left.
    """
    files = files_of(spark)
    if table_format != "table":
        _check_path(spark, files, output)
    with open_output(spark, output, table_format, "append") as writer:  # this undoes interrupted writes
        found = homes(spark, output, writer.format)[1]
        return sum(remove(files, home, lambda run: age(files, run) >= seconds) for home in found)


def _check_path(spark: "SparkSession", files: "Files", output: str) -> None:
    """Check that a job has written here, before the lock makes a folder; TableError if not."""
    name = parse_name(output)
    if files.exists(output) or (name is not None and table_exists(spark, name)):
        return
    parent, _, last = files.absolute(output).rstrip("/").rpartition("/")
    left = files.entries(f"{parent}/") if files.exists(f"{parent}/") else {}
    if not any(each.startswith(f".{last}.st-spark-") for each in left):
        raise TableError(
            f"There is nothing of st-spark beside {output}.",
            "check the path, or add --output-format table for a catalog name without a table.",
        )

"""What a Spark session runs on: how many tasks at once, Connect or classic, and which Python its workers use."""

import os
import sys
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def cores(spark: "SparkSession") -> int:
    """Return how many tasks run at once."""
    return core_rows(spark).count()


def core_rows(spark: "SparkSession") -> "DataFrame":
    """Return one row for each task that runs at once.

    This counts the partitions that Spark chooses for a range. It works in Connect too, and needs no shuffle.
    """
    first_of_partition = sf.monotonically_increasing_id().bitwiseAND(sf.lit((1 << 33) - 1)) == 0
    return spark.range(100_000).where(first_of_partition)


def is_connect(spark: "SparkSession") -> bool:
    """Return whether this is a Spark Connect session."""
    return ".connect." in type(spark).__module__


def use_this_python(spark: "SparkSession") -> None:
    """Let the workers of a local master run the driver's Python, unless the user has chosen one.

    By default Spark's workers run the first python3 on the PATH. That one often has no pyarrow and no st-spark.
    """
    if is_connect(spark) or "PYSPARK_PYTHON" in os.environ:
        return
    context = spark.sparkContext
    if str(context.master).startswith("local") and context.pythonExec == "python3":  # PySpark's default
        context.pythonExec = sys.executable

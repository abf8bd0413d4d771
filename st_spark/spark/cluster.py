"""How many tasks a cluster runs at once."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def cores(spark: "SparkSession") -> int:
    """How many tasks run at once."""
    return core_rows(spark).count()


def core_rows(spark: "SparkSession") -> "DataFrame":
    """One row for each task that runs at once, as Spark cuts a range: this works in Connect too, without a shuffle."""
    first_of_partition = sf.monotonically_increasing_id().bitwiseAND(sf.lit((1 << 33) - 1)) == 0
    return spark.range(100_000).where(first_of_partition)

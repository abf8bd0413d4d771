"""Small tables on the driver: collect rows as Arrow, and make a DataFrame of Arrow rows."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


def to_arrow(df: "DataFrame") -> pa.Table:
    """Return all rows. Spark before 4.0 has no toArrow()."""
    return df.toArrow() if hasattr(df, "toArrow") else pa.Table.from_pandas(df.toPandas())


def from_arrow(spark: "SparkSession", rows: pa.Table, schema: "StructType") -> "DataFrame":
    """Return rows as a DataFrame. Spark before 4.0 takes no Arrow table."""
    data: Any = rows if int(spark.version.partition(".")[0]) >= 4 else rows.to_pandas()
    return spark.createDataFrame(data, schema)

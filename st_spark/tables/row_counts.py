"""Count the rows of an input before the work: how many tasks it needs, and which ids are missing or repeated."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.spark.cluster import cores
from st_spark.tables.columns import quoted_column, readable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# A task should take some seconds on one core: then progress is visible, and a lost task costs little.
ROWS_PER_TASK = 10_000
# A small table must still reach every core, in several waves, and fill an encoder's window.
WAVES = 4
MIN_ROWS_PER_TASK = 256
MAX_TASKS = 20_000


@dataclass(frozen=True)
class RowCounts:
    """The size of an input.

    Attributes:
        rows: All rows.
        partitions: Rows of each partition that has any.
        cores: Tasks that run at once.
        most: About the most rows of a task.
    """

    rows: int
    partitions: tuple[int, ...]
    cores: int
    most: int = ROWS_PER_TASK

    @property
    def wanted(self) -> int:
        """The number of tasks of equal size that suits the rows, 1 or more."""
        waves = min(self.cores * WAVES, self.rows // MIN_ROWS_PER_TASK)
        return max(1, min(MAX_TASKS, max(waves, self.rows // self.most)))

    @property
    def balanced(self) -> bool:
        """Whether the input's own partitions suit: there are enough, and no core has to wait for a large one."""
        share = max(self.rows / self.cores, MIN_ROWS_PER_TASK)
        return len(self.partitions) >= self.wanted and max(self.partitions, default=0) <= share

    @property
    def tasks(self) -> int:
        """The number of tasks after repartition()."""
        return len(self.partitions) if self.balanced else self.wanted

    @property
    def first_tasks(self) -> int:
        """The number of tasks that start at once."""
        return min(self.cores, self.wanted)

    def repartition(self, df: "DataFrame") -> "DataFrame":
        """Return the input with partitions that keep every core busy."""
        return df if self.balanced else df.repartition(self.wanted)


def count_rows(df: "DataFrame") -> RowCounts:
    """Count the rows of each partition. No column is read, so this is cheap for Parquet and Delta."""
    counts = df.groupBy(sf.spark_partition_id()).agg(sf.count(sf.lit(1)).alias("rows")).collect()
    sizes = tuple(row["rows"] for row in counts)
    return RowCounts(sum(sizes), sizes, cores(df.sparkSession))


def count_ids(df: "DataFrame", column: str | None) -> dict[str, int]:
    """Count the rows without an id, and of each id the rows beyond the first; {} without an id column.

    Such rows are no error: their vectors are correct. A job that needs unique ids checks them itself.
    """
    if column is None:
        return {}
    name = quoted_column(column)
    row = df.where(readable(df)).agg(sf.count(sf.lit(1)), sf.count(name), sf.count_distinct(name)).collect()[0]
    return {"null_id": row[0] - row[1], "duplicate_id": row[1] - row[2]}

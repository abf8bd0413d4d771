"""A look at the input before the work: rows, ids, and how it is cut into tasks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.spark.cluster import cores
from st_spark.tables.columns import CORRUPT, exact

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# A task should last some seconds on one core, so that progress is seen and a lost one costs little ...
ROWS_PER_TASK = 10_000
# ... but a small table must reach every core, in several waves, and still fill an encoder's window.
WAVES = 4
LEAST_ROWS_PER_TASK = 256
MOST_TASKS = 20_000


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        rows: All rows.
        partitions: Rows of each partition that has any.
        cores: Tasks that run at once.
    """

    rows: int
    partitions: tuple[int, ...]
    cores: int

    @property
    def wanted(self) -> int:
        """How many tasks of equal size the rows should make, 1 or more."""
        waves = min(self.cores * WAVES, self.rows // LEAST_ROWS_PER_TASK)
        return max(1, min(MOST_TASKS, max(waves, self.rows // ROWS_PER_TASK)))

    @property
    def fits(self) -> bool:
        """Whether the input's own partitions do: enough of them, and none that the others would wait for."""
        share = max(self.rows / self.cores, LEAST_ROWS_PER_TASK)
        return len(self.partitions) >= self.wanted and max(self.partitions, default=0) <= share


def survey(df: "DataFrame") -> Survey:
    """Counts the rows of each partition; no column is read, so on Parquet and Delta it costs next to nothing."""
    counted = df.groupBy(sf.spark_partition_id()).agg(sf.count(sf.lit(1)).alias("rows")).collect()
    sizes = tuple(row["rows"] for row in counted)
    return Survey(sum(sizes), sizes, cores(df.sparkSession))


def count_ids(df: "DataFrame", column: str | None) -> dict[str, int]:
    """Rows without an id, and rows whose id another row has had before; {} without an id column.

    They are counted, not refused: the vectors are right all the same. What needs unique ids checks them itself.
    """
    if column is None:
        return {}
    sound = df.where(exact(CORRUPT).isNull()) if CORRUPT in df.columns else df
    name = exact(column)
    row = sound.agg(sf.count(sf.lit(1)), sf.count(name), sf.count_distinct(name)).collect()[0]
    return {"null_id": row[0] - row[1], "duplicate_id": row[1] - row[2]}

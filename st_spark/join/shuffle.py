"""A join on Spark: rows go to tasks by number, each task gets two blocks of rows, and returns pairs."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from st_spark.join.tasks.blocks import LEFT_ID, RIGHT_ID, ROW_VECTOR, TASK, BlockReader, TaskInput
from st_spark.tables.columns import quoted_column

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import StructType

# Columns of an input table; the keys follow, named by key_name().
ID, VECTOR = "_id", "_vector"

Work = Callable[[TaskInput], Iterator[pa.RecordBatch]]
BatchWork = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def key_name(place: int) -> str:
    """Return the name of a key column, by its place in `on`."""
    return f"_key_{place}"


def to_sides(
    rows: DataFrame,
    task: "Column",
    others: Sequence[str] = (),
    *,
    left: "Column | None" = None,
    right: "Column | None" = None,
) -> DataFrame:
    """Select what a task reads: TASK, LEFT_ID, RIGHT_ID, ROW_VECTOR and other columns.

    `left` and `right` are conditions: whether a row is in the left and in the right block. None leaves the id out. A
    row that is in both blocks is in a self-pair task.
    """
    sides = {LEFT_ID: left, RIGHT_ID: right}
    ids = [sf.when(where, sf.col(ID)).alias(name) for name, where in sides.items() if where is not None]
    return rows.select(task.alias(TASK), *ids, sf.col(VECTOR).alias(ROW_VECTOR), *map(quoted_column, others))


def union_sides(left: DataFrame, right: DataFrame) -> DataFrame:
    """Return the rows of both tables. If their vectors have two types, all become floats, or doubles if one has some.

    A float holds each stored byte as it is, so bytes and bits can still be read in their form.
    """
    kinds = {side.schema[ROW_VECTOR].dataType.simpleString() for side in (left, right)}
    if len(kinds) > 1:
        kind = "array<double>" if "array<double>" in kinds else "array<float>"
        left, right = (side.withColumn(ROW_VECTOR, sf.col(ROW_VECTOR).cast(kind)) for side in (left, right))
    return left.unionByName(right, allowMissingColumns=True)


def run_tasks(
    rows: DataFrame, tasks: int, reader: BlockReader, work: Work, schema: "StructType | str", max_tasks: int
) -> DataFrame:
    """Bring the rows of each task together and do the work on them.

    The rows are from to_sides() or union_sides(); TASK counts from 0. The work is pickled, and called on the workers
    once for each task and key, in no order. There are at most `max_tasks` Spark tasks: each of these does several
    tasks, one after the other, if there are more.
    """
    spark_tasks = min(tasks, max_tasks)
    placed = repartition_tasks(rows, spark_tasks)
    if reader.keys or tasks > spark_tasks:
        placed = placed.sortWithinPartitions(TASK, *reader.keys)
    return map_batches(placed, lambda batches: chain.from_iterable(map(work, reader.read(batches))), schema)


def map_batches(rows: DataFrame, work: BatchWork, schema: "StructType | str") -> DataFrame:
    """Do the work on the batches of each partition, with the threads and the GPU that Spark grants its task."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.spark.task_resources import use_granted

        use_granted()
        yield from work(batches)

    return rows.mapInArrow(run, schema)


def repartition_tasks(rows: DataFrame, spark_tasks: int) -> DataFrame:
    """Move the rows of each task to the partition TASK modulo `spark_tasks`."""
    place = sf.pmod(TASK, sf.lit(spark_tasks)).cast("int")
    if hasattr(rows, "repartitionById"):  # PySpark 4.1
        return rows.repartitionById(spark_tasks, place)
    # Older versions place rows by a hash alone: find, for each partition, a number whose hash leads to it.
    number = sf.col("id").cast("int")
    hashed = rows.sparkSession.range(64 * spark_tasks).groupBy(sf.pmod(sf.hash(number), sf.lit(spark_tasks)))
    numbers = [row[1] for row in sorted(hashed.agg(sf.min(number)).collect())]
    return rows.repartition(spark_tasks, sf.element_at(sf.array(*map(sf.lit, numbers)), place + 1))

"""A join as meetings on Spark: rows tagged with the number of a meeting, each meeting held by one task."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from st_spark.join import placement
from st_spark.join.tasks.blocks import LEFT_ID, MEETING, RIGHT_ID, ROW_VECTOR, Gathering, Meeting
from st_spark.tables.columns import quoted_column

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import StructType

# Columns of a side before it is tagged; the keys of `on` follow as key_name() has them.
ID, VECTOR = "_id", "_vector"
# Spark keeps books on every pair of a task that writes rows and one that reads them.
_MOST_TASKS = 20_000

# What is made of a meeting: batches with the columns of the schema given to hold().
Work = Callable[[Meeting], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Tagged:
    """The rows of a join, each with the number of the meeting that it goes to.

    Attributes:
        rows: What left_rows(), right_rows() and both_rows() give, or a union of them (see union()).
        count: How many meetings there are; their numbers run from 0.
        keys: Columns that must be equal too: one number can stand for many meetings, one for each value.
        carried: Further columns that the rows bring with them; see sides.Side.
    """

    rows: DataFrame
    count: int
    keys: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()


def left_rows(side: DataFrame, others: Sequence[str] = ()) -> DataFrame:
    """Rows with the columns MEETING (int), ID, VECTOR and others, for the left side of their meetings."""
    return _seated(side, {LEFT_ID: sf.col(ID)}, others)


def right_rows(side: DataFrame, others: Sequence[str] = ()) -> DataFrame:
    """The same for the right side."""
    return _seated(side, {RIGHT_ID: sf.col(ID)}, others)


def both_rows(side: DataFrame, left: "Column", others: Sequence[str] = ()) -> DataFrame:
    """Rows of a self join: for the left side of their meetings where `left` is true, else for the right one."""
    return _seated(side, {LEFT_ID: sf.when(left, sf.col(ID)), RIGHT_ID: sf.when(~left, sf.col(ID))}, others)


def union(left: DataFrame, right: DataFrame) -> DataFrame:
    """left_rows() and right_rows() in one DataFrame; vectors of floats and of doubles become ones of doubles."""
    if left.schema[ROW_VECTOR].dataType.simpleString() != right.schema[ROW_VECTOR].dataType.simpleString():
        left, right = (side.withColumn(ROW_VECTOR, sf.col(ROW_VECTOR).cast("array<double>")) for side in (left, right))
    return left.unionByName(right, allowMissingColumns=True)


def hold(tagged: Tagged, dimension: int, score: str, work: Work, schema: "StructType | str") -> DataFrame:
    """Brings the rows of each meeting together and does the work on them.

    Args:
        tagged: The rows.
        dimension: Values of a vector; rows that have others are left out.
        score: One of vectors.SCORES; it decides which vectors cannot be joined.
        work: Called once for each meeting, in no order, on the workers. It travels there pickled: make it a function of
            a module, a partial of one, or an object of a dataclass.
        schema: The columns that the work gives.
    """
    rows = tagged.rows
    if RIGHT_ID not in rows.columns:
        rows = rows.withColumn(RIGHT_ID, sf.lit(None).cast(rows.schema[LEFT_ID].dataType))
    tasks = min(tagged.count, _MOST_TASKS)
    cut = _cut(rows, tasks)
    if tagged.keys or tagged.count > tasks:
        cut = cut.sortWithinPartitions(MEETING, *tagged.keys)
    gathering = Gathering(dimension, score, tagged.keys, tagged.carried)

    def held(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.spark.task_resources import use_granted

        use_granted()
        for meeting in gathering.meetings(batches):
            yield from work(meeting)

    return cut.mapInArrow(held, schema)


def best(pairs: DataFrame, k: int) -> DataFrame:
    """The k best of the pairs that several meetings found for each left row.

    Args:
        pairs: left_id, right_id, score; of equal scores the smaller right id is better.
        k: How many.
    """
    order = Window.partitionBy("left_id").orderBy(sf.col("score").desc(), "right_id")
    return pairs.withColumn("rank", sf.row_number().over(order)).where(sf.col("rank") <= k)


def stripe(count: "int | Column") -> "Column":
    """Which of some stripes of equal size a row belongs to, by its id."""
    return sf.pmod(sf.xxhash64(ID), sf.lit(count)).cast("int")


def copies(count: "int | Column") -> "Column":
    """Explodes a row into some copies, numbered from 0."""
    return sf.explode(sf.sequence(sf.lit(0), sf.lit(count) - 1))


def key_name(place: int) -> str:
    """What the key at a place of `on` is called while rows travel."""
    return f"_key_{place}"


def _seated(side: DataFrame, ids: "dict[str, Column]", others: Sequence[str]) -> DataFrame:
    named = [value.alias(name) for name, value in ids.items()]
    return side.select(MEETING, *named, sf.col(VECTOR).alias(ROW_VECTOR), *map(quoted_column, others))


def _cut(rows: DataFrame, tasks: int) -> DataFrame:
    """As many tasks, each with the meetings whose number leaves its own place as remainder."""
    place = sf.pmod(MEETING, sf.lit(tasks)).cast("int")
    if hasattr(rows, "repartitionById"):  # PySpark 4.1
        return rows.repartitionById(tasks, place)
    return rows.repartition(tasks, sf.element_at(sf.array(*map(sf.lit, placement.numbers(tasks))), place + 1))

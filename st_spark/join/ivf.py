"""The approximate join: left rows are compared with the right rows of some cells only, as many as the recall takes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, BinaryType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.join import exact, shuffle
from st_spark.join.ivf_tuning import Tuned, tune
from st_spark.join.shuffle import ID, VECTOR, Tagged
from st_spark.join.tasks.blocks import MEETING
from st_spark.join.tasks.ivf_search import Searching
from st_spark.join.tasks.list_assignment import CELL, PROBES, SALT, Tagging
from st_spark.join.tasks.merging import merged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import Survey
    from st_spark.join.inputs import Sides
    from st_spark.join.options import Request


def pairs(sides: "Sides", found: "Survey", request: "Request") -> "tuple[DataFrame, dict[str, Any]]":
    """The best right rows of each left row, as far as the cells that it searches hold them.

    Args:
        sides: The rows.
        found: Their counts.
        request: With k.

    Returns:
        left_id, right_id, score, rank; and the facts: recall (measured), recall_low and recall_high (its 95% interval),
        recall_asked, cells, nprobe. A join of no rows has none of these. A left row has fewer than k neighbours also
        where the cells that it searches hold fewer.

    Raises:
        InputError: No k.
    """
    if request.k is None:
        raise InputError(
            "method='ivf' finds the k best of each row, and no k is given.", "give k, or use method='exact'."
        )
    tuned = tune(sides, found, request, request.k)
    if tuned is None:
        return exact.neighbours(sides, found, request, request.k)
    itself = sides.right is None
    carried = (CELL, PROBES)
    columns = [*sides.keys, *carried]
    rows = shuffle.left_rows(_tagged(sides.left, sides.keys, tuned, left=True, right=itself), columns)
    if sides.right is not None:
        right = _tagged(sides.right, sides.keys, tuned, left=False, right=True)
        rows = shuffle.union(rows, shuffle.right_rows(right, columns))
    tagged = Tagged(rows, tuned.regions.meetings, sides.keys, carried)
    work = Searching(request.k, request.score, request.threshold, itself)
    left, right_id, score = exact.schema(sides).fields
    lists = [StructField(each.name, ArrayType(each.dataType)) for each in (right_id, score)]
    made = shuffle.hold(tagged, found.dimension, request.score, work, StructType([left, *lists]))
    return _best(made, request.k, exact.schema(sides, ranked=True)), tuned.facts(request)


def _tagged(side: "DataFrame", keys: tuple[str, ...], tuned: Tuned, *, left: bool, right: bool) -> "DataFrame":
    """The rows of a side with their meetings and cells."""
    tagging = Tagging(tuned.cells, tuned.regions, tuned.nprobe, VECTOR, MEETING, left, right)

    def tag(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.spark.task_resources import use_granted

        use_granted()
        yield from tagging(batches)

    fields = [side.schema[name] for name in (ID, *keys)]
    more = {MEETING: IntegerType(), CELL: IntegerType(), PROBES: ArrayType(IntegerType()), VECTOR: BinaryType()}
    schema = StructType([*fields, *(StructField(name, kind) for name, kind in more.items())])
    return side.select(ID, VECTOR, *keys, sf.xxhash64(ID).alias(SALT)).mapInArrow(tag, schema)


def _best(lists: "DataFrame", k: int, schema: StructType) -> "DataFrame":
    """The k best of the lists that several meetings made for each left row."""

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from merged(batches, k)

    return lists.repartition("left_id").sortWithinPartitions("left_id").mapInArrow(merge, schema)

"""Pairs to groups on Spark: connected components, or the followers of a leader."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql.types import LongType, StructField, StructType

from st_spark.join.tasks.components import Forest, IdPairs, merge_forests
from st_spark.join.tasks.leaders import assign_leaders

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

_BATCH_ROWS = 1 << 16


def components(pairs: "DataFrame") -> "DataFrame":
    """Return the connected components of pairs.

    Every task reduces its pairs to a spanning forest, and one more task merges the forests. It needs some 100 bytes for
    each id, and the driver needs none.

    Args:
        pairs: left_id, right_id: integers or strings of one type, none null; in any order, also repeated.

    Returns:
        id, group (the smallest id of the group) and size, for each id in a group of two or more.
    """
    kind = pairs.schema["left_id"].dataType
    trees = pairs.select("left_id", "right_id").mapInArrow(_forest_edges, _schema(root=kind, id=kind))
    return trees.repartition(1).mapInArrow(_forest_groups, _groups_schema(pairs))


def leaders(pairs: "DataFrame") -> "DataFrame":
    """Return groups in which every row is within the threshold of the smallest id; see leaders.assign_leaders().

    One task reads all pairs, sorted by Spark. It keeps some 200 bytes for each id that follows a leader.

    Args:
        pairs: left_id, right_id, score, left id < right id: the pairs within the threshold, each once. A copy of a row
            has one pair only, with that row and a null score.

    Returns:
        The columns of components().
    """
    ordered = pairs.select("right_id", "left_id", "score").repartition(1).sortWithinPartitions("right_id", "left_id")
    return ordered.mapInArrow(_leader_groups, _groups_schema(pairs))


def _forest_edges(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    forest = merge_forests(map(_id_pairs, batches))
    if forest is not None:
        yield from _batches(pa.table([forest.root, forest.id], names=["root", "id"]))


def _forest_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    forest = merge_forests(map(_id_pairs, batches))
    if forest is not None:
        yield from _batches(forest.groups())


def _leader_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = next(batches, None)
    if first is None:
        return
    kind = _id_pairs(first)[0].type
    rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in chain([first], batches))
    followers = list(assign_leaders(chain.from_iterable(rows)))
    ids, leader = (pa.array([pair[side] for pair in followers], kind) for side in (0, 1))
    yield from _batches(Forest(root=leader, id=ids).groups())


def _id_pairs(batch: pa.RecordBatch) -> IdPairs:
    """Return both ids. Strings get offsets of 64 bits, which hold the ids of all batches."""
    left, right = (
        column.cast(pa.large_string()) if pa.types.is_string(column.type) else column for column in batch.columns[:2]
    )
    return left, right


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield batches with the plain strings that Spark reads."""
    kinds = [pa.string() if pa.types.is_large_string(kind) else kind for kind in table.schema.types]
    schema = pa.schema(zip(table.column_names, kinds, strict=True))
    for start in range(0, len(table), _BATCH_ROWS):
        yield from table.slice(start, _BATCH_ROWS).cast(schema).combine_chunks().to_batches()


def _groups_schema(pairs: "DataFrame") -> StructType:
    kind = pairs.schema["left_id"].dataType
    return _schema(id=kind, group=kind, size=LongType())


def _schema(**columns: "DataType") -> StructType:
    return StructType([StructField(name, kind) for name, kind in columns.items()])

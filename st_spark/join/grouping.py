"""Pairs to groups on Spark: all that hang together, or those that follow one leader."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from st_spark.join.tasks.components import Forest, Sides, merged
from st_spark.join.tasks.leaders import led

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

# Rows of a batch that goes back to Spark.
_ROWS = 1 << 16


def components(pairs: "DataFrame") -> "DataFrame":
    """The connected components of a graph.

    Every task reduces its pairs to a spanning forest, and one more merges the forests: it needs some 100 bytes for each
    id that is in a pair, and the driver none.

    Args:
        pairs: left_id, right_id: integers or strings of one type, none null; in any order, also several times.

    Returns:
        id, group (the smallest id of it) and size, for every id that is in a group of two or more.
    """
    kind = pairs.schema["left_id"].dataType
    trees = pairs.select("left_id", "right_id").mapInArrow(_forests, _schema(root=kind, id=kind))
    return trees.repartition(1).mapInArrow(_forest_groups, _groups_schema(pairs))


def leaders(pairs: "DataFrame") -> "DataFrame":
    """Groups in which every row is within the threshold of the smallest id; see leaders.led().

    One task sees all pairs, sorted by Spark; it keeps some 200 bytes for each id that follows another.

    Args:
        pairs: left_id, right_id, score, left id < right id: those within the threshold, each once. A row that is a copy
            of another comes as one pair with it alone, its score null.

    Returns:
        As components().
    """
    ordered = pairs.select("right_id", "left_id", "score").repartition(1).sortWithinPartitions("right_id", "left_id")
    return ordered.mapInArrow(_leader_groups, _groups_schema(pairs))


def _forests(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    found = merged(map(_sides, batches))
    if found is not None:
        yield from _batches(pa.table([found.root, found.id], names=["root", "id"]))


def _forest_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    found = merged(map(_sides, batches))
    if found is not None:
        yield from _batches(found.groups())


def _leader_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = next(batches, None)
    if first is None:
        return
    kind = _sides(first)[0].type
    read = chain([first], batches)
    rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in read)
    found = list(led(chain.from_iterable(rows)))
    ids, followed = (pa.array([pair[side] for pair in found], kind) for side in (0, 1))
    yield from _batches(Forest(root=followed, id=ids).groups())


def _sides(batch: pa.RecordBatch) -> Sides:
    """Both ids of pairs or edges; strings with offsets that have room for those of all batches together."""
    left, right = (
        column.cast(pa.large_string()) if pa.types.is_string(column.type) else column for column in batch.columns[:2]
    )
    return left, right


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    narrow: Callable[[Any], Any] = lambda kind: pa.string() if pa.types.is_large_string(kind) else kind  # noqa: E731
    schema = pa.schema([(each.name, narrow(each.type)) for each in table.schema])
    for start in range(0, len(table), _ROWS):
        yield from table.slice(start, _ROWS).cast(schema).combine_chunks().to_batches()


def _groups_schema(pairs: "DataFrame") -> "StructType":
    from pyspark.sql.types import LongType

    kind = pairs.schema["left_id"].dataType
    return _schema(id=kind, group=kind, size=LongType())


def _schema(**columns: Any) -> "StructType":  # noqa: ANN401
    from pyspark.sql.types import StructField, StructType

    return StructType([StructField(name, kind) for name, kind in columns.items()])

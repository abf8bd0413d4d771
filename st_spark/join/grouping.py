"""Turn pairs into groups on Spark: connected components, or the followers of a leader."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import LongType, StructField, StructType

from st_spark.join.tasks.groups import Forest, IdPairs, assign_leaders, merge_forests

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BATCH_ROWS = 1 << 16


def components(pairs: "DataFrame") -> "DataFrame":
    """Return the connected components of pairs: left_id, right_id (integers or strings, none null), also repeated.

    Every task reduces its pairs to a spanning forest, and one more task merges the forests. It needs some 100 bytes for
    each id, and the driver needs none.

    Returns:
        id, group (the smallest id of the group) and size, for each id in a group of two or more.
    """
    edges = pairs.select(sf.col("left_id").alias("root"), sf.col("right_id").alias("id"))
    trees = edges.mapInArrow(_forest_edges, edges.schema)
    return trees.repartition(1).mapInArrow(_forest_groups, _groups_schema(pairs))


def leaders(pairs: "DataFrame") -> "DataFrame":
    """Return groups, as components() does, in which every row is within the threshold of the smallest id.

    One task reads all pairs, sorted by Spark. It keeps some 200 bytes for each id that follows a leader. See
    groups.assign_leaders() for the pairs: left_id < right_id and score.
    """
    ordered = pairs.select("right_id", "left_id", "score").repartition(1).sortWithinPartitions("right_id", "left_id")
    return ordered.mapInArrow(_leader_groups, _groups_schema(pairs))


def _forest_edges(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if (forest := merge_forests(map(_id_pairs, batches))) is not None:
        yield from spark_batches(pa.table([forest.root, forest.id], names=["root", "id"]))


def _forest_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if (forest := merge_forests(map(_id_pairs, batches))) is not None:
        yield from spark_batches(forest.groups())


def _leader_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = next(batches, None)
    if first is None:
        return
    kind = _id_pairs(first)[0].type
    rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in chain([first], batches))
    followers = list(assign_leaders(chain.from_iterable(rows)))
    ids, leader = (pa.array([pair[side] for pair in followers], kind) for side in (0, 1))
    yield from spark_batches(Forest(root=leader, id=ids).groups())


def _id_pairs(batch: pa.RecordBatch) -> IdPairs:
    left, right = id_columns(batch, 2)
    return left, right


def id_columns(batch: pa.RecordBatch, count: int) -> list[pa.Array]:
    """Return the first columns. Strings become large_string: 32-bit offsets cannot address the ids of all batches."""
    columns = batch.columns[:count]
    return [column.cast(pa.large_string()) if pa.types.is_string(column.type) else column for column in columns]


def spark_batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield batches with the plain strings that Spark reads."""
    kinds = [pa.string() if pa.types.is_large_string(kind) else kind for kind in table.schema.types]
    schema = pa.schema(zip(table.column_names, kinds, strict=True))
    for start in range(0, len(table), _BATCH_ROWS):
        yield from table.slice(start, _BATCH_ROWS).cast(schema).combine_chunks().to_batches()


def _groups_schema(pairs: "DataFrame") -> StructType:
    kind = pairs.schema["left_id"].dataType
    return StructType([StructField("id", kind), StructField("group", kind), StructField("size", LongType())])

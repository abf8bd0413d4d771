"""Search a table for many queries without a shuffle of the table: the queries go to all tasks, not the rows.

For each query a task makes as many products as it has rows, so some thousand queries keep it busy for much longer than
it takes to read the rows. More queries than fit a task are searched in several passes.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, LongType, StringType, StructField, StructType

from st_spark.errors import InputError
from st_spark.join.lowest_scores import lowest_scores
from st_spark.join.shuffle import ID, map_batches
from st_spark.join.tasks.query_search import OUTCOMES, REASON, ROWS, QuerySearch
from st_spark.join.tasks.results import merge_lists

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

# Bytes of the queries of one pass, and of all queries: the driver holds them, and Connect sends them in one message.
_PASS_BYTES, _MAX_BYTES, _CONNECT_BYTES = 1 << 25, 1 << 30, 1 << 25
# Pairs of a query and a row that a task holds: k for each query of a pass. A pass reads the whole table, so it has many
# queries.
_PASS_PAIRS, _MIN_QUERIES = 1 << 23, 512


def check_size(queries: int, dimension: int, where: str, *, connect: bool = False) -> None:
    """Check that the driver can hold so many queries, and that Connect can send them; InputError if not."""
    most = (_CONNECT_BYTES if connect else _MAX_BYTES) // (4 * dimension)
    if queries > most:
        raise InputError(
            f"{where} has {queries:,} queries, and a search takes at most {most:,} of {dimension} dimensions.",
            "join the tables: similarity_join(queries, table, k=...) or `st-spark join`.",
        )


def scan(rows: "DataFrame", search: QuerySearch) -> "DataFrame":
    """Read the rows of a table (ID, VECTOR and, with probes, the list), and return what QuerySearch yields of them."""
    kind = rows.schema[ID].dataType
    lists = {"left_id": IntegerType(), "right_id": ArrayType(kind), "score": ArrayType(DoubleType())}
    schema = _schema({**lists, REASON: StringType(), ROWS: LongType()})
    return reduce(
        lambda one, other: one.unionByName(other),
        (map_batches(rows, partial(_search, each), schema) for each in _passes(search)),
    )


def _search(search: QuerySearch, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """Search the rows of a task for those that reach the scores of earlier tasks."""
    return search(batches, lowest_scores(f"{search.name} {search.first}", len(search.queries)))


def best_pairs(found: "DataFrame", k: int, *, one_task: bool = False) -> "DataFrame":
    """Return the k best rows of each query from scan(): left_id (its number), right_id, score, rank (from 1).

    With `one_task` the task that scans also finds them: without a shuffle, if so few rows are read.
    """
    kind = found.schema["right_id"].dataType
    assert isinstance(kind, ArrayType)
    pairs = {"left_id": IntegerType(), "right_id": kind.elementType, "score": DoubleType(), "rank": IntegerType()}
    lists = found.where(sf.col("left_id").isNotNull()).select("left_id", "right_id", "score")
    together = lists.coalesce(1) if one_task else lists.repartition("left_id")
    lists = together.sortWithinPartitions("left_id")
    return map_batches(lists, partial(merge_lists, k=k), _schema(pairs))


def count_outcomes(found: "DataFrame") -> dict[str, int]:
    """Return how many rows of the table have which of OUTCOMES, from scan()."""
    counted = found.where(sf.col("left_id").isNull()).groupBy(REASON).agg(sf.sum(ROWS)).collect()
    return {**dict.fromkeys(OUTCOMES, 0), **{row[0]: row[1] for row in counted}}


def _passes(search: QuerySearch) -> Iterator[QuerySearch]:
    queries = search.queries
    most = max(_PASS_PAIRS // search.k, _MIN_QUERIES)
    step = max(min(_PASS_BYTES // (queries.shape[1] * queries.itemsize), most), 1)
    for first in range(0, max(len(queries), 1), step):
        part = slice(first, first + step)
        probes = None if search.probes is None else search.probes[part]
        yield replace(search, queries=queries[part], first=first, probes=probes)


def _schema(columns: "Mapping[str, DataType]") -> StructType:
    return StructType([StructField(name, kind) for name, kind in columns.items()])

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
from st_spark.join.shuffle import ID, map_batches
from st_spark.join.tasks.query_search import OUTCOMES, REASON, ROWS, QuerySearch
from st_spark.join.tasks.results import merge_lists

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Observation

# Bytes of the queries of one pass, and of all queries: the driver holds them, and Connect sends them in one message.
_PASS_BYTES, _MAX_BYTES, _CONNECT_BYTES = 1 << 25, 1 << 30, 1 << 25


def check_size(queries: int, dimension: int, where: str, *, connect: bool = False) -> None:
    """Check that the driver can hold so many queries, and that Connect can send them; InputError if not."""
    most = (_CONNECT_BYTES if connect else _MAX_BYTES) // (4 * dimension)
    if queries > most:
        raise InputError(
            f"{where} has {queries:,} queries, and a search takes at most {most:,} of {dimension} dimensions.",
            "join the tables: similarity_join(queries, table, k=...) or `st-spark join`.",
        )


def scan(rows: "DataFrame", search: QuerySearch, counts: "Observation | None" = None) -> "DataFrame":
    """Return the k best rows for each query: left_id (its number), right_id, score, rank (from 1).

    Args:
        rows: ID and VECTOR of the table, in this order.
        search: What to search for.
        counts: It gets how many rows of the table have which of OUTCOMES, null for none.
    """
    kind = rows.schema[ID].dataType
    pair = {"left_id": IntegerType(), "right_id": kind, "score": DoubleType()}
    lists = {"left_id": IntegerType(), "right_id": ArrayType(kind), "score": ArrayType(DoubleType())}
    found: list[DataFrame] = []
    for each in _passes(search):
        part = map_batches(rows, each, _schema(lists, {REASON: StringType(), ROWS: LongType()}))
        if counts is not None and not found:
            part = part.observe(counts, *map(_counted, OUTCOMES))
        found.append(part.where(sf.col("left_id").isNotNull()).select(*lists))
    together = reduce(lambda one, other: one.unionByName(other), found)
    together = together.repartition("left_id").sortWithinPartitions("left_id")
    return map_batches(together, partial(merge_lists, k=search.k), _schema(pair, {"rank": IntegerType()}))


def _passes(search: QuerySearch) -> Iterator[QuerySearch]:
    queries = search.queries
    step = max(_PASS_BYTES // (queries.shape[1] * queries.itemsize), 1)
    for first in range(0, max(len(queries), 1), step):
        yield replace(search, queries=queries[first : first + step], first=first)


def _counted(outcome: str) -> "Column":
    return sf.sum(sf.when(sf.col(REASON) == outcome, sf.col(ROWS))).alias(outcome)


def _schema(*parts: dict) -> StructType:  # type: ignore[type-arg]
    return StructType([StructField(name, kind) for part in parts for name, kind in part.items()])

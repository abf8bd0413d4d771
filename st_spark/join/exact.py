"""The exact join: every left row is compared with every right row, within equal keys if there are keys."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.join.block_plan import BlockPlan, Grid, plan_blocks
from st_spark.join.shuffle import map_batches
from st_spark.join.tasks.results import Above, PairReducer, TopK, merge_lists
from st_spark.topk.pairs import Pairs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import InputStats
    from st_spark.join.inputs import TablePair
    from st_spark.join.options import Request

# Rows of each table in the sample that estimates the number of pairs.
_SAMPLE = 2_000


def top_k(tables: "TablePair", stats: "InputStats", request: "Request", k: int) -> "tuple[DataFrame, dict[str, Any]]":
    """Return the k best right rows of each left row (left_id, right_id, score, rank), and the number of tasks."""
    plan, _ = plan_blocks(tables, stats, k, request.settings)
    work = TopK(k, request.score, request.threshold, tables.right is None, ranked=not plan.needs_merge)
    schema = pair_schema(tables, ranked=True) if work.ranked else list_schema(tables)
    pairs = plan.run(tables, stats.dimension, request.score, work, schema)
    return pairs if work.ranked else merge_tasks(pairs, tables, k), {"tasks": plan.tasks}


def merge_tasks(lists: "DataFrame", tables: "TablePair", k: int) -> "DataFrame":
    """Return the k best pairs of each left row, with their rank, if several tasks have pairs of a left row."""
    lists = lists.repartition("left_id").sortWithinPartitions("left_id")
    return map_batches(lists, partial(merge_lists, k=k), pair_schema(tables, ranked=True))


def above(
    tables: "TablePair",
    stats: "InputStats",
    request: "Request",
    reducer: PairReducer | None = None,
    schema: StructType | str | None = None,
) -> "tuple[DataFrame, dict[str, Any]]":
    """Return all pairs with at least the threshold (left_id, right_id, score), and facts about how they are found.

    If more than max_pairs are expected, and overflow is "best", return only the best pairs of each left row. With a
    reducer, return its rows instead, with its schema. Then there may be any number of pairs.

    Raises:
        InputError: More pairs than max_pairs are expected, and overflow is "error".
    """
    assert request.threshold is not None
    plan, comparisons = plan_blocks(tables, stats, None, request.settings)
    facts: dict[str, Any] = {}
    if reducer is None and comparisons > request.max_pairs:
        facts["expected_pairs"] = count = round(expected_pairs(tables, stats, request))
        if count > request.max_pairs:
            facts["best_per_row"] = k = _best_per_row(count, stats, request)
            pairs, more = top_k(tables, stats, request, k)
            # In a self join a pair is kept for either row, and comes once.
            once = pairs if tables.right is not None else smaller_id_left(pairs).dropDuplicates(["left_id", "right_id"])
            return once.select("left_id", "right_id", "score"), facts | more
    work = Above(request.threshold, request.score, reducer)
    pairs = plan.run(tables, stats.dimension, request.score, work, schema or pair_schema(tables))
    self_pairs = reducer is None and tables.right is None
    return smaller_id_left(pairs) if self_pairs else pairs, facts | {"tasks": plan.tasks}


def pair_schema(tables: "TablePair", *, ranked: bool = False) -> StructType:
    """Return the columns of pairs. Ids have the types of the inputs."""
    left, right = tables.id_types()
    columns = [StructField("left_id", left), StructField("right_id", right), StructField("score", DoubleType())]
    return StructType([*columns, *([StructField("rank", IntegerType())] if ranked else [])])


def list_schema(tables: "TablePair") -> StructType:
    """Return the columns of tasks whose pairs are merged; see results.list_batch()."""
    left, *lists = pair_schema(tables).fields
    return StructType([left, *(StructField(each.name, ArrayType(each.dataType)) for each in lists)])


def expected_pairs(tables: "TablePair", stats: "InputStats", request: "Request") -> float:
    """Estimate the number of pairs above the threshold from a sample of the rows."""
    shares = [min(1.0, _SAMPLE / max(table.kept, 1)) for table in (stats.left, stats.right or stats.left)]
    right = None if tables.right is None else tables.right.sample(shares[1], seed=0)
    few = replace(tables, left=tables.left.sample(shares[0], seed=0), right=right)
    plan = BlockPlan((), 1, tables.keys) if tables.keys else BlockPlan(((0, Grid(1, 1)),))
    assert request.threshold is not None
    work = Above(request.threshold, request.score, _count)
    counts = plan.run(few, stats.dimension, request.score, work, "pairs bigint")
    return (counts.agg(sf.sum("pairs")).collect()[0][0] or 0) / (shares[0] * shares[1])


def _count(_left: pa.Array, _right: pa.Array, parts: Iterator[Pairs]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pydict({"pairs": pa.array([sum(len(pairs.left) for pairs in parts)], pa.int64())})


def _best_per_row(count: int, stats: "InputStats", request: "Request") -> int:
    """Return how many pairs each left row may keep. Raise InputError if the request wants all of them."""
    if request.overflow == "error":
        raise InputError(
            f"About {count:,} pairs have a {request.score} score of {request.threshold:g} or more; max_pairs is "
            f"{request.max_pairs:,}.",
            "raise the threshold or max_pairs. A join can also ask for the k best of each row, or for overflow='best'; "
            "near-duplicates for linkage='components', which has no limit.",
        )
    return max(1, request.max_pairs // max(stats.left.kept, 1))


def smaller_id_left(pairs: "DataFrame") -> "DataFrame":
    """Return pairs of one table with the smaller id left: left_id, right_id, score."""
    low, high = (pick("left_id", "right_id") for pick in (sf.least, sf.greatest))
    return pairs.select(low.alias("left_id"), high.alias("right_id"), "score")

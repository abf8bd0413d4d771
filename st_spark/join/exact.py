"""The exact join: every left row is compared with every right row, of its key where there are keys."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.join import block_plan, keys, plan, shuffle
from st_spark.join.block_plan import Grid
from st_spark.join.plan import Cut, Plan
from st_spark.join.tasks.results import Above, Each, Nearest
from st_spark.topk.pairs import Pairs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import Survey
    from st_spark.join.inputs import Sides
    from st_spark.join.options import Request

# Rows of each side that tell beforehand how many pairs a threshold lets through.
_SAMPLE = 2_000


def neighbours(sides: "Sides", found: "Survey", request: "Request", k: int) -> "tuple[DataFrame, dict[str, Any]]":
    """The k best right rows of each left row: left_id, right_id, score, rank; and the number of meetings."""
    planned, _ = planned_for(sides, found, k)
    itself = sides.right is None
    alone = planned.alone if itself else frozenset()
    work = Nearest(k, request.score, request.threshold, itself, alone, ranked=not planned.merges)
    tagged = planned.tagged(sides, once=False)
    made = shuffle.hold(tagged, found.dimension, request.score, work, schema(sides, ranked=work.ranked))
    return made if work.ranked else shuffle.best(made, k), {"meetings": tagged.count}


def pairs(
    sides: "Sides", found: "Survey", request: "Request", each: Each | None = None, made: StructType | None = None
) -> "tuple[DataFrame, dict[str, Any]]":
    """All pairs above the threshold: left_id, right_id, score; and the number of meetings, and of pairs to expect.

    Args:
        sides: The rows.
        found: Their counts.
        request: With a threshold.
        each: What to make of the pairs of a meeting instead of rows, however many they are; see matches.Each.
        made: The columns that it gives.

    Raises:
        InputError: More pairs than max_pairs are expected.
    """
    assert request.threshold is not None
    itself = sides.right is None
    planned, comparisons = planned_for(sides, found, None)
    facts: dict[str, Any] = {}
    if each is None and comparisons > request.max_pairs:
        facts["expected_pairs"] = count = round(expected(sides, found, request))
        if count > request.max_pairs:
            facts["best_per_row"] = _per_row(count, found, request)
            best, more = _best_pairs(sides, found, request, facts["best_per_row"])
            return best, facts | more
    work = Above(request.threshold, request.score, itself, planned.alone if itself else frozenset(), each)
    tagged = planned.tagged(sides, once=itself)
    facts["meetings"] = tagged.count
    return shuffle.hold(tagged, found.dimension, request.score, work, made or schema(sides)), facts


def planned_for(sides: "Sides", found: "Survey", k: int | None) -> tuple[Plan, int]:
    """The cheapest plan, and how many pairs of rows it compares. k: None where all pairs are wanted."""

    def cut(left: int, right: int) -> Cut:
        if sides.right is None and k is None:
            stripes = block_plan.one_side(left, found.dimension, found.cores)
            return Cut(Grid(stripes, stripes), once=True)
        return Cut(block_plan.two_sides(left, right, found.dimension, found.cores, k))

    if sides.keys:
        return keys.plan(sides, found, cut)
    right = found.right or found.left
    return plan.whole(cut(found.left.kept, right.kept)), found.comparisons


def expected(sides: "Sides", found: "Survey", request: "Request") -> float:
    """How many pairs the threshold lets through, told from a sample of the rows."""
    shares = [min(1.0, _SAMPLE / max(side.kept, 1)) for side in (found.left, found.right or found.left)]
    left = sides.left.sample(shares[0], seed=0)
    right = None if sides.right is None else sides.right.sample(shares[1], seed=0)
    few = replace(sides, left=left, right=right)
    itself = right is None
    planned = Plan(1, (), sides.keys) if sides.keys else plan.whole(Cut(Grid(1, 1), once=itself))
    assert request.threshold is not None
    work = Above(request.threshold, request.score, itself, planned.alone if itself else frozenset(), _counted)
    tagged = planned.tagged(few, once=itself)
    counts = shuffle.hold(tagged, found.dimension, request.score, work, "pairs bigint")
    return (counts.agg(sf.sum("pairs")).collect()[0][0] or 0) / (shares[0] * shares[1])


def schema(sides: "Sides", *, ranked: bool = False) -> StructType:
    """The columns of pairs; ids are of the types of the inputs."""
    left, right = sides.id_types()
    columns = [StructField("left_id", left), StructField("right_id", right), StructField("score", DoubleType())]
    return StructType([*columns, *([StructField("rank", IntegerType())] if ranked else [])])


def _counted(_left: pa.Array, _right: pa.Array, found: Iterator[Pairs]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pydict({"pairs": pa.array([sum(len(pairs.left) for pairs in found)], pa.int64())})


def _per_row(count: int, found: "Survey", request: "Request") -> int:
    """How many pairs each left row may keep; InputError where none shall be left out."""
    if request.overflow == "error":
        raise InputError(
            f"About {count:,} pairs have a {request.score} score of {request.threshold:g} or more; max_pairs is "
            f"{request.max_pairs:,}.",
            "raise the threshold or max_pairs, ask for the k best of each row, or let overflow='best' keep the best.",
        )
    return max(1, request.max_pairs // max(found.left.kept, 1))


def _best_pairs(sides: "Sides", found: "Survey", request: "Request", k: int) -> "tuple[DataFrame, dict[str, Any]]":
    """The best pairs of each row; of a table with itself those of either row, each pair once."""
    made, facts = neighbours(sides, found, request, k)
    if sides.right is not None:
        return made.drop("rank"), facts
    ordered = made.select(
        sf.least("left_id", "right_id").alias("left_id"), sf.greatest("left_id", "right_id").alias("right_id"), "score"
    )
    return ordered.dropDuplicates(["left_id", "right_id"]), facts

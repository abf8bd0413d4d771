"""Joins within equal keys: most keys are a meeting of their own, and those of much work are cut into grids."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.join import block_plan
from st_spark.join.plan import Cut, Plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import Survey
    from st_spark.join.inputs import Sides

_LEFT, _RIGHT = "_left_rows", "_right_rows"
# What a meeting costs beside its products, and what a task should last, in seconds.
_START, _LEAST = 0.002, 0.5
_WAVES = 4
# Rows that a task sorts by their keys without much spilling.
_SORTED = 500_000


def plan(sides: "Sides", found: "Survey", cut: Callable[[int, int], Cut]) -> tuple[Plan, int]:
    """How the keys meet, and how many pairs of rows have equal keys. Only keys of much work come to the driver.

    Args:
        sides: The rows, all with keys.
        found: Their counts.
        cut: Makes the cut of a key from its left and right rows.
    """
    counts, work = _counts(sides), sf.col(_LEFT).cast("double") * sf.col(_RIGHT)
    rows = sf.col(_LEFT) + sf.col(_RIGHT)
    total = counts.agg(sf.count(sf.lit(1)), sf.sum(work), sf.sum(rows)).collect()[0]
    number, pairs, all_rows = total[0], total[1] or 0.0, total[2] or 0
    per_pair = 2 * found.dimension / block_plan.FLOPS
    much = max(1.0 / per_pair, pairs / (2 * found.cores))
    large = counts.where((work > much) | (rows > block_plan.rows_held(found.dimension))).orderBy(*sides.keys).collect()
    rest = pairs - sum(row[_LEFT] * row[_RIGHT] for row in large)
    seconds = rest * per_pair + number * _START
    tasks = max(math.ceil(all_rows / _SORTED), min(_WAVES * found.cores, math.ceil(seconds / _LEAST)), 1)
    cuts = tuple((tuple(row[key] for key in sides.keys), cut(row[_LEFT], row[_RIGHT])) for row in large)
    return Plan(tasks, cuts, sides.keys), int(pairs)


def _counts(sides: "Sides") -> "DataFrame":
    """Left and right rows of each key that both sides have."""
    left = sides.left.groupBy(*sides.keys).agg(sf.count(sf.lit(1)).alias(_LEFT))
    if sides.right is None:
        return left.withColumn(_RIGHT, sf.col(_LEFT))
    right = sides.right.groupBy(*sides.keys).agg(sf.count(sf.lit(1)).alias(_RIGHT))
    return left.join(right, list(sides.keys))

"""The k nearest rows of the other side, for the rows of both sides: source_id, target_id, cosine and which way."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import BooleanType, DoubleType, StructField, StructType

from st_spark.bitext.columns import COSINE, FORWARD, SOURCE, TARGET
from st_spark.choices import METHODS
from st_spark.errors import InputError
from st_spark.join import ivf
from st_spark.join.block_plan import plan_blocks
from st_spark.join.input_stats import InputStats
from st_spark.join.inputs import TablePair
from st_spark.join.options import Request
from st_spark.join.tasks.results import pair_batches
from st_spark.topk.search import top_k_both

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.tasks.blocks import TaskInput


@dataclass(frozen=True)
class Both:
    """The work of a task: the k nearest of the rows of both sides.

    Attributes:
        k: How many, fewer where there are fewer.
    """

    k: int

    def __call__(self, task: "TaskInput") -> Iterator[pa.RecordBatch]:
        """Batches of FORWARD, SOURCE, TARGET and COSINE."""
        left, right = task.left, task.right
        if not len(left.ids) or not len(right.ids):
            return
        forward, backward = top_k_both(left.matrix, right.matrix, self.k, "cosine")
        for pairs, ids, way in ((forward, (left.ids, right.ids), True), (backward, (right.ids, left.ids), False)):
            for batch in pair_batches(*ids, pairs):
                own, other, cosine = batch.columns
                source, target = (own, other) if way else (other, own)
                ways = pa.array(np.full(len(batch), way))
                yield pa.RecordBatch.from_arrays(
                    [ways, source, target, cosine], names=[FORWARD, SOURCE, TARGET, COSINE]
                )


def check_method(method: str) -> None:
    """Refuses an unknown method, before any work."""
    if method not in METHODS:
        raise InputError(f"method={method!r} is unknown.", f"choose one of {', '.join(METHODS)}.")


def nearest(
    sides: TablePair, found: InputStats, k: int, method: str, recall: float
) -> "tuple[DataFrame, int, dict[str, Any]]":
    """exact() or approximate(), as the method says."""
    return exact(sides, found, k) if method == "exact" else approximate(sides, found, k, recall)


def exact(sides: TablePair, found: InputStats, k: int) -> "tuple[DataFrame, int, dict[str, Any]]":
    """All of them.

    Args:
        sides: The rows of both sides.
        found: Their counts.
        k: How many nearest.

    Returns:
        FORWARD, SOURCE, TARGET, COSINE; a row has its k nearest of each task that it goes to, so those of several
        are yet to be merged; how many neighbours there are at most; and the number of tasks.
    """
    plan, _ = plan_blocks(sides, found, k)
    made = plan.run(sides, found.dimension, "cosine", Both(k), schema(sides))
    lists = [max((getattr(grid, side) for _, grid in plan.grids), default=1) for side in ("right", "left")]
    return made, k * sum(n * m for n, m in zip(_sizes(found), lists, strict=True)), {"tasks": plan.tasks}


def approximate(sides: TablePair, found: InputStats, k: int, recall: float) -> "tuple[DataFrame, int, dict[str, Any]]":
    """Most of them; see exact(). The facts have the recall that was measured for each direction, if any rows are there.

    A row whose neighbours are missed has a smaller mean, and so its pairs have larger margins than they should.
    """
    assert sides.right is not None
    assert found.right is not None
    request = Request(k, None, "cosine", "ivf", recall)
    back = replace(sides, left=sides.right, right=sides.left), replace(found, left=found.right, right=found.left)
    ways = {"forward": (sides, found), "backward": back}
    facts: dict[str, Any] = {}
    parts = []
    for way, (one, seen) in ways.items():
        made, told = ivf.top_k(one, seen, request)
        facts |= {
            f"{name}_{way}": value
            for name, value in told.items()
            if name.startswith("recall") and name != "recall_asked"
        }
        names = (SOURCE, TARGET) if way == "forward" else (TARGET, SOURCE)
        ids = {names[0]: sf.col("left_id"), names[1]: sf.col("right_id")}
        forward = sf.lit(way == "forward").alias(FORWARD)
        parts.append(
            made.select(forward, ids[SOURCE].alias(SOURCE), ids[TARGET].alias(TARGET), sf.col("score").alias(COSINE))
        )
    return parts[0].unionByName(parts[1]), k * sum(_sizes(found)), facts


def schema(sides: TablePair) -> StructType:
    """The columns of neighbours."""
    source, target = sides.id_types()
    kinds = {FORWARD: BooleanType(), SOURCE: source, TARGET: target, COSINE: DoubleType()}
    return StructType([StructField(name, kind) for name, kind in kinds.items()])


def _sizes(found: InputStats) -> tuple[int, int]:
    assert found.right is not None
    return found.left.kept, found.right.kept

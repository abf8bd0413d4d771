"""Find the k nearest rows on the other side, for the rows of both sides."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import BooleanType, DoubleType, StructType

from st_spark.bitext.retrieval import COSINE, FORWARD, SOURCE, TARGET
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
class BothDirections:
    """The work of a task: the k nearest rows of both of its sides (fewer if the other side has fewer)."""

    k: int

    def __call__(self, task: "TaskInput") -> Iterator[pa.RecordBatch]:
        """Yield batches of FORWARD, SOURCE, TARGET and COSINE."""
        left, right = task.left, task.right
        if not len(left.ids) or not len(right.ids):
            return
        forward, backward = top_k_both(left.matrix, right.matrix, self.k, "cosine")
        for pairs, ids, is_forward in (
            (forward, (left.ids, right.ids), True),
            (backward, (right.ids, left.ids), False),
        ):
            for batch in pair_batches(*ids, pairs):
                row, other, cosine = batch.columns
                source, target = (row, other) if is_forward else (other, row)
                columns = [pa.array(np.full(len(batch), is_forward)), source, target, cosine]
                yield pa.RecordBatch.from_arrays(columns, names=[FORWARD, SOURCE, TARGET, COSINE])


def find_nearest(
    sides: TablePair, stats: InputStats, k: int, method: str, recall: float
) -> "tuple[DataFrame, int, dict[str, Any]]":
    """Find the k nearest rows for the rows of both sides.

    Args:
        sides: The rows of both sides.
        stats: Their counts.
        k: Neighbours of each row.
        method: "exact" or "ivf". IVF may miss neighbours: then the mean of a row is too low and its margins too high.
        recall: With "ivf", the share of the true neighbours to find.

    Returns:
        FORWARD, SOURCE, TARGET, COSINE, in no order: at least the k nearest of each row (an exact search gives the k
            nearest in each task);
        an upper limit on the number of these rows;
        how they were found: the number of "tasks", or the measured recall of each direction.
    """
    assert stats.right is not None
    sizes = stats.left.kept, stats.right.kept
    if method == "ivf":
        rows, facts = _approximate(sides, stats, Request(k, None, "cosine", "ivf", recall))
        return rows, k * sum(sizes), facts
    plan, _ = plan_blocks(sides, stats, k)
    source, target = sides.id_types()
    schema = StructType().add(FORWARD, BooleanType()).add(SOURCE, source).add(TARGET, target).add(COSINE, DoubleType())
    rows = plan.run(sides, stats.dimension, "cosine", BothDirections(k), schema)
    parts = [max((getattr(grid, side) for _, grid in plan.grids), default=1) for side in ("right", "left")]
    limit = k * sum(size * count for size, count in zip(sizes, parts, strict=True))
    return rows, limit, {"tasks": plan.tasks}


def _approximate(sides: TablePair, stats: InputStats, request: Request) -> "tuple[DataFrame, dict[str, Any]]":
    assert sides.right is not None
    assert stats.right is not None
    swapped = replace(sides, left=sides.right, right=sides.left), replace(stats, left=stats.right, right=stats.left)
    facts: dict[str, Any] = {}
    parts = []
    for way, inputs, own, other in (("forward", (sides, stats), SOURCE, TARGET), ("backward", swapped, TARGET, SOURCE)):
        pairs, measured = ivf.top_k(*inputs, request)
        recall = {name: value for name, value in measured.items() if name.startswith("recall")}
        facts |= {f"{name}_{way}": value for name, value in recall.items() if name != "recall_asked"}
        renamed = [sf.col("left_id").alias(own), sf.col("right_id").alias(other), sf.col("score").alias(COSINE)]
        parts.append(pairs.select(sf.lit(way == "forward").alias(FORWARD), *renamed))
    return parts[0].unionByName(parts[1]), facts

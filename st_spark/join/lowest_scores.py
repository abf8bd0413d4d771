"""The scores that the tasks of a search have reached, kept in the Python worker that Spark gives them one by one."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from st_spark.topk.scores import Scores


@dataclass
class _Reached:
    """The lowest scores that are left of a search, and the partitions that this worker has searched."""

    lowest: "Scores"
    partitions: set[int] = field(default_factory=set)


def lowest_scores(search: str, queries: int) -> "Scores":
    """Return the lowest score that a row must have to be among the k best of each query: [queries].

    BestRows raises them, and the next task of the same Python worker begins with them. They begin anew for another
    `search`, for another stage of Spark, and for a partition that comes again: its vectors can differ in the last bits.
    """
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None
    reached = _reached(search, context.stageId(), queries)
    if context.partitionId() in reached.partitions:
        _reached.cache_clear()
        reached = _reached(search, context.stageId(), queries)
    reached.partitions.add(context.partitionId())
    return reached.lowest


@lru_cache(maxsize=1)
def _reached(_search: str, _stage: int, queries: int) -> _Reached:
    return _Reached(np.full(queries, -np.inf))

"""Hold computed inputs on the executors' disks, so that the several Spark jobs of a join compute them once."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel

from st_spark.errors import InputError
from st_spark.spark.cluster import is_connect

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# The result of a join is lazy, so nothing tells when its inputs are read for the last time. Only the newest are held.
_HELD_INPUTS = 8
_held: "deque[DataFrame]" = deque()


def hold(df: "DataFrame", where: str) -> "DataFrame":
    """Return the rows. If Python computes them, the executors keep them until more inputs are held.

    A result that reads them later computes them again. The rows of a lost executor are computed again, too.

    Args:
        df: The rows.
        where: The name of the table, for errors.

    Raises:
        InputError: The rows are a stream, which cannot be read several times.
    """
    check_batch(df, where)
    if not computed_by_python(df):
        return df
    _held.append(df.persist(StorageLevel.DISK_ONLY))
    while len(_held) > _HELD_INPUTS:
        with suppress(Exception):  # its session may have ended
            _held.popleft().unpersist()
    return df


@contextmanager
def freed() -> Iterator[None]:
    """Free at the end of `with` what hold() holds inside."""
    before = [*_held]
    try:
        yield
    finally:
        for df in [each for each in _held if not any(each is other for other in before)]:
            _held.remove(df)
            df.unpersist()


def check_batch(df: "DataFrame", where: str) -> None:
    """Check that rows are no stream; InputError if they are."""
    if df.isStreaming:
        raise InputError(
            f"{where} is a stream, and the function needs all rows.",
            "call it for each micro-batch: stream.writeStream.foreachBatch(...).",
        )


@contextmanager
def held(df: "DataFrame") -> "Iterator[DataFrame]":
    """Keep rows that Python computes on the disks of the executors inside `with`, and free them at its end."""
    computed = computed_by_python(df)
    try:
        yield df.persist(StorageLevel.DISK_ONLY) if computed else df
    finally:
        if computed:
            df.unpersist()


def computed_by_python(df: "DataFrame") -> bool:
    """Return whether Python computes rows of the plan, as encode() does. What is persisted is not computed again."""
    frame: Any = df
    plan = frame._explain_string() if is_connect(df.sparkSession) else frame._jdf.queryExecution().executedPlan()
    return plan_has_python(str(plan if isinstance(plan, str) else plan.toString()))


def plan_has_python(plan: str) -> bool:
    """Return whether a physical plan runs Python outside of persisted parts. Deeper nodes are more indented."""
    cached = None
    for line in plan.splitlines():
        found = re.match(r"([\s:+-]*)(?:\*\s?(?:\(\d+\) )?)?(\w+)", line)
        if found is None or (cached is not None and len(found[1]) > cached):
            continue
        cached = len(found[1]) if found[2] == "InMemoryRelation" else None
        if re.search("Python|InArrow|InPandas", found[2]):
            return True
    return False

"""How an exact join is divided into tasks: blocks of left rows times blocks of right rows.

Each left row is copied once for each right block, and the other way round. More blocks keep more cores busy with less
memory each, and move more bytes. The result is the same for any blocks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pyspark.sql import functions as sf

from st_spark.join.options import Settings
from st_spark.join.shuffle import ID, Work, run_tasks, to_sides, union_sides
from st_spark.join.stored_vectors import stored_form
from st_spark.join.tasks.blocks import BlockReader

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

    from st_spark.join.input_stats import InputStats
    from st_spark.join.inputs import TablePair

_DEFAULTS = Settings()
# A float32 and its quantised value of one byte.
_BYTES_PER_VALUE = 5
# Rough speeds of one core, and seconds that a task takes from its core and from the driver. Plans stay good if these
# are wrong by a small factor.
_FLOPS, _BYTES_MOVED, _ROWS_MERGED = 3e11, 1e8, 5e5
_TASK_SECONDS, _DRIVER_SECONDS = 0.05, 0.002
# Seconds that a key costs in addition to its products, and seconds that a task with many keys should last at least.
_KEY_SECONDS, _MIN_SECONDS = 0.002, 0.5
_TASKS_PER_CORE = 4
# Rows that a task sorts by key without spilling much.
_SORTED_ROWS = 500_000

_COPY, _HASH, _FIRST, _LEFT, _RIGHT = "_copy", "_key_hash", "_first_task", "_left_blocks", "_right_blocks"
_LEFT_ROWS, _RIGHT_ROWS = "_left_rows", "_right_rows"


@dataclass(frozen=True)
class Grid:
    """Numbers of left and right blocks. Each left block is compared with each right one.

    In a triangular grid, for the pairs of one table, each block is compared with itself and the blocks after it.
    """

    left: int
    right: int
    triangular: bool = False

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return self.left * (self.left + 1) // 2 if self.triangular else self.left * self.right


@dataclass(frozen=True)
class BlockPlan:
    """The tasks of a join, numbered from 0: first the shared tasks, then the tasks of each grid."""

    # For each large key its hash and its grid. Without keys one grid of all rows. Keys with the same hash share a grid:
    # their rows meet in its tasks, and are compared only within equal keys there.
    grids: tuple[tuple[int, Grid], ...]
    shared: int = 0  # Tasks for all keys that have no grid. Each of these keys is compared in one of them.
    keys: tuple[str, ...] = ()  # The columns of the keys
    settings: Settings = _DEFAULTS

    @cached_property
    def first_tasks(self) -> list[int]:
        """The first task of each grid, and the number of all tasks."""
        return list(accumulate((grid.tasks for _, grid in self.grids), initial=self.shared))

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return self.first_tasks[-1]

    @property
    def needs_merge(self) -> bool:
        """Whether the pairs of a left row come from several tasks."""
        return any(grid.right > 1 for _, grid in self.grids)

    def run(
        self, tables: "TablePair", dimension: int, score: str, work: Work, schema: "StructType | str"
    ) -> "DataFrame":
        """Run all tasks on vectors with `dimension` values; see shuffle.run_tasks()."""
        left = stored_form(tables.left.schema)
        right = left if tables.right is None else stored_form(tables.right.schema)
        reader = BlockReader(dimension, score, self.keys, forms=(left, right))
        return run_tasks(self.assign(tables), self.tasks, reader, work, schema, self.settings.max_tasks)

    def assign(self, tables: "TablePair") -> "DataFrame":
        """Return each row once for each of its tasks."""
        if tables.right is None:
            triangular = any(grid.triangular for _, grid in self.grids)
            return self._triangle(tables.left) if triangular else self._self_join(tables.left)
        rows, first, left, right = self._with_grid(tables.left)
        task = first + _block(left) * right + sf.col(_COPY)
        one = to_sides(_copied(rows, right), task, self.keys, left=sf.lit(True))
        rows, first, left, right = self._with_grid(tables.right)
        task = first + sf.col(_COPY) * right + _block(right)
        return union_sides(one, to_sides(_copied(rows, left), task, self.keys, right=sf.lit(True)))

    def _self_join(self, rows: "DataFrame") -> "DataFrame":
        """Return each row for its left and its right tasks. The table is read once."""
        rows, first, left, right = self._with_grid(rows)
        single, copy = sf.lit(left * right) == 1, sf.col(_COPY)
        task = sf.when(copy < right, _block(left) * right + copy).otherwise((copy - right) * right + _block(right))
        rows = _copied(rows, sf.when(single, 1).otherwise(left + right))
        return to_sides(rows, first + task, self.keys, left=copy < right, right=single | (copy >= right))

    def _triangle(self, rows: "DataFrame") -> "DataFrame":
        """Return block i as the left side of the tasks (i, j), j >= i, and the right side of (h, i), h <= i."""
        rows, first, blocks, _ = self._with_grid(rows)
        own, other = _block(blocks), sf.col(_COPY)
        low, high = sf.least(own, other), sf.greatest(own, other)
        task = (low * (sf.lit(blocks) * 2 - low + 1) / 2).cast("int") + high - low
        return to_sides(_copied(rows, blocks), first + task, self.keys, left=other >= own, right=other <= own)

    def _with_grid(self, rows: "DataFrame") -> "tuple[DataFrame, Column, int | Column, int | Column]":
        """Return the rows with the first task and the left and right blocks of their grid."""
        if not self.keys:
            grid = self.grids[0][1]
            return rows, sf.lit(self.shared), grid.left, grid.right
        rows = rows.withColumn(_HASH, sf.xxhash64(*self.keys))
        shared = sf.pmod(sf.col(_HASH), sf.lit(self.shared)).cast("int")
        if not self.grids:
            return rows, shared, 1, 1
        grids = zip(self.grids, self.first_tasks, strict=False)
        table = [(key_hash, first, grid.left, grid.right) for (key_hash, grid), first in grids]
        schema = f"{_HASH} bigint, {_FIRST} int, {_LEFT} int, {_RIGHT} int"
        known = sf.broadcast(rows.sparkSession.createDataFrame(table, schema))
        first, left, right = sf.coalesce(_FIRST, shared), sf.coalesce(_LEFT, sf.lit(1)), sf.coalesce(_RIGHT, sf.lit(1))
        return rows.join(known, _HASH, "left"), first, left, right


def plan_blocks(
    tables: "TablePair", stats: "InputStats", k: int | None, settings: Settings = _DEFAULTS
) -> tuple[BlockPlan, int]:
    """Return the cheapest plan for joinable rows, and how many pairs it compares. Without k all pairs are wanted."""
    triangular = tables.right is None and k is None

    def grid(left: int, right: int) -> Grid:
        if settings.grid is not None:
            return Grid(settings.grid[0], settings.grid[0 if triangular else 1], triangular)
        return choose_grid(left, right, stats.dimension, stats.cores, k, triangular=triangular, settings=settings)

    if tables.keys:
        return _plan_keys(tables, stats, grid, settings)
    right = stats.right or stats.left
    return BlockPlan(((0, grid(stats.left.kept, right.kept)),), settings=settings), stats.comparisons


def choose_grid(
    left: int,
    right: int,
    dimension: int,
    cores: int,
    k: int | None,
    *,
    triangular: bool = False,
    settings: Settings = _DEFAULTS,
) -> Grid:
    """Return the cheapest grid for so many left and right rows that keeps a task within its memory.

    `cores` tasks run at once. With k, the pairs of several right blocks are merged. A triangular grid is for the pairs
    of one table.
    """
    held = _rows_held(dimension, settings)
    a = _block_counts(left)[:, None]
    if triangular:
        b, tasks, copies, fits = a, a * (a + 1) / 2, left * a, 2 * left / a <= held
    else:
        b = np.maximum(_block_counts(right)[None, :], np.ceil(right / np.maximum(held - left / a, 1.0)))
        tasks, copies, fits = a * b, left * b + right * a, left / a < held
    products = 2 * (left / a) * (right / b) * dimension / _FLOPS
    seconds = np.ceil(tasks / cores) * (products + _TASK_SECONDS) + tasks * _DRIVER_SECONDS
    seconds += copies * 4 * dimension / (_BYTES_MOVED * cores)
    seconds += (b > 1) * left * b * (k or 0) / (_ROWS_MERGED * cores)
    best = np.unravel_index(int(np.argmin(np.where(fits, seconds, np.inf))), seconds.shape)
    return Grid(int(a[best[0], 0]), int(b[best]), triangular)


def _rows_held(dimension: int, settings: Settings) -> float:
    """Return how many rows, left and right, a task may hold."""
    return settings.task_bytes / (_BYTES_PER_VALUE * max(dimension, 1))


def _block_counts(rows: int) -> npt.NDArray[np.float64]:
    """Return numbers of blocks to try: all small ones, and some of the large ones."""
    counts = {*range(1, 65), *(int(2 ** (step / 8)) for step in range(48, 200))}
    return np.array(sorted(count for count in counts if count <= max(rows, 1)), dtype=np.float64)


def _plan_keys(
    tables: "TablePair", stats: "InputStats", grid: Callable[[int, int], Grid], settings: Settings
) -> tuple[BlockPlan, int]:
    """Plan the comparisons within equal keys. Only keys with much work get a grid.

    Only hashes and counts come to the driver: in Python, keys of some types would become other values.
    """
    left, right = (sf.count(sf.lit(1)).alias(name) for name in (_LEFT_ROWS, _RIGHT_ROWS))
    key_hash = sf.xxhash64(*tables.keys).alias(_HASH)
    counts = tables.left.groupBy(key_hash).agg(left)
    if tables.right is None:
        counts = counts.withColumn(_RIGHT_ROWS, sf.col(_LEFT_ROWS))
    else:
        counts = counts.join(tables.right.groupBy(key_hash).agg(right), _HASH)
    pairs, rows = sf.col(_LEFT_ROWS).cast("double") * sf.col(_RIGHT_ROWS), sf.col(_LEFT_ROWS) + sf.col(_RIGHT_ROWS)
    number, all_pairs, all_rows = counts.agg(sf.count(sf.lit(1)), sf.sum(pairs), sf.sum(rows)).collect()[0]
    all_pairs, all_rows = all_pairs or 0.0, all_rows or 0
    per_pair = 2 * stats.dimension / _FLOPS
    much = max(1.0 / per_pair, all_pairs / (2 * stats.cores))
    large = counts.where((pairs > much) | (rows > _rows_held(stats.dimension, settings))).orderBy(_HASH)
    grids, rest = [], all_pairs
    for row in large.collect():
        grids.append((row[_HASH], grid(row[_LEFT_ROWS], row[_RIGHT_ROWS])))
        rest -= row[_LEFT_ROWS] * row[_RIGHT_ROWS]
    seconds = rest * per_pair + number * _KEY_SECONDS
    wanted = min(_TASKS_PER_CORE * stats.cores, math.ceil(seconds / _MIN_SECONDS))
    shared = max(math.ceil(all_rows / _SORTED_ROWS), wanted, 1)
    return BlockPlan(tuple(grids), shared, tables.keys, settings), int(all_pairs)


def _block(count: "int | Column") -> "Column":
    """Return the block of a row, by its id: blocks have about equal sizes."""
    return sf.pmod(sf.xxhash64(ID), sf.lit(count)).cast("int")


def _copied(rows: "DataFrame", count: "int | Column") -> "DataFrame":
    """Return `count` copies of each row, numbered from 0 by _COPY."""
    single = isinstance(count, int) and count == 1
    return rows.withColumn(_COPY, sf.lit(0) if single else sf.explode(sf.sequence(sf.lit(0), sf.lit(count) - 1)))

"""The plan of an exact join: which meetings each row goes to."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import IntegerType, StructField, StructType

from st_spark.join import block_plan
from st_spark.join.block_plan import Grid
from st_spark.join.shuffle import Tagged, both_rows, copies, left_rows, right_rows, stripe, union
from st_spark.join.tasks.blocks import MEETING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from st_spark.join.inputs import Sides

    Stripes = int | Column

_COPY = "_copy"
_FIRST, _LEFT, _RIGHT = "_first", "_left_stripes", "_right_stripes"


@dataclass(frozen=True)
class Cut:
    """How the rows of one key, or all rows, are cut.

    Attributes:
        grid: Left and right stripes.
        once: Each stripe of a table meets itself and those after it; else all left stripes meet all right ones.
    """

    grid: Grid
    once: bool = False

    @property
    def meetings(self) -> int:
        """How many there are."""
        return block_plan.diagonal(self.grid.left)[-1] if self.once else self.grid.meetings

    @property
    def alone(self) -> list[int]:
        """Those in which, if a table is joined with itself, rows of one stripe meet each other."""
        if self.once:
            return block_plan.diagonal(self.grid.left)[:-1]
        return [0] if self.grid.meetings == 1 else []


@dataclass(frozen=True)
class Plan:
    """All meetings, numbered from 0: first the tasks that share the small keys, then the cuts of the large ones.

    Attributes:
        shared: Numbers that stand for all keys that are not cut: each of them is a meeting of its own.
        cuts: For each large key its values and its cut. Without keys the one cut of all rows, with no values.
        keys: The columns of the keys.
    """

    shared: int
    cuts: tuple[tuple[tuple[Any, ...], Cut], ...]
    keys: tuple[str, ...] = ()

    @cached_property
    def firsts(self) -> list[int]:
        """The number of the first meeting of each cut, and of all meetings."""
        firsts = [self.shared]
        for _, cut in self.cuts:
            firsts.append(firsts[-1] + cut.meetings)
        return firsts

    @property
    def alone(self) -> frozenset[int]:
        """The meetings in which, if a table is joined with itself, the left rows meet each other."""
        cuts = zip(self.firsts, self.cuts, strict=False)
        return frozenset([*range(self.shared), *(first + i for first, (_, cut) in cuts for i in cut.alone)])

    @property
    def merges(self) -> bool:
        """Whether the best pairs of a left row come from several meetings."""
        return any(cut.grid.right > 1 for _, cut in self.cuts)

    def tagged(self, sides: "Sides", *, once: bool) -> Tagged:
        """The rows of both sides with the numbers of their meetings.

        Args:
            sides: The rows.
            once: Whether the cuts are such.
        """
        if sides.right is not None:
            rows = union(self._left(sides.left), self._right(sides.right))
        else:
            rows = self._once(sides.left) if once else self._both(sides.left)
        return Tagged(rows, self.firsts[-1], self.keys)

    def _left(self, side: "DataFrame") -> "DataFrame":
        side, first, left, right = self._cut(side)
        side = _copied(side, right)
        return left_rows(side.withColumn(MEETING, first + stripe(left) * right + sf.col(_COPY)), self.keys)

    def _right(self, side: "DataFrame") -> "DataFrame":
        side, first, left, right = self._cut(side)
        side = _copied(side, left)
        return right_rows(side.withColumn(MEETING, first + sf.col(_COPY) * right + stripe(right)), self.keys)

    def _both(self, side: "DataFrame") -> "DataFrame":
        """Each row for both sides, read once; where there is but one stripe its rows are left ones alone."""
        side, first, left, right = self._cut(side)
        one = sf.lit(left * right) == 1
        side = _copied(side, sf.when(one, 1).otherwise(left + right))
        copy = sf.col(_COPY)
        number = sf.when(copy < right, stripe(left) * right + copy).otherwise((copy - right) * right + stripe(right))
        return both_rows(side.withColumn(MEETING, first + number), copy < right, self.keys)

    def _once(self, side: "DataFrame") -> "DataFrame":
        """Stripe i is the left side of the meetings (i, j) for j >= i, and the right side of (h, i) for h < i."""
        side, first, count, _ = self._cut(side)
        side = _copied(side, count)
        ours, copy = stripe(count), sf.col(_COPY)
        low, high = sf.least(ours, copy), sf.greatest(ours, copy)
        diagonal = (low * (sf.lit(count) * 2 - low + 1) / 2).cast("int")
        return both_rows(side.withColumn(MEETING, first + diagonal + high - low), copy >= ours, self.keys)

    def _cut(self, side: "DataFrame") -> "tuple[DataFrame, Column, Stripes, Stripes]":
        """The rows with the first number, the left and the right stripes of their cut."""
        if not self.keys:
            stripes = self.cuts[0][1].grid
            return side, sf.lit(self.shared), stripes.left, stripes.right
        shared = sf.pmod(sf.xxhash64(*self.keys), sf.lit(self.shared)).cast("int")
        if not self.cuts:
            return side, shared, 1, 1
        known = side.join(sf.broadcast(self._table(side)), list(self.keys), "left")
        columns = zip((_FIRST, _LEFT, _RIGHT), (shared, sf.lit(1), sf.lit(1)), strict=True)
        first, left, right = (sf.coalesce(name, value) for name, value in columns)
        return known, first, left, right

    def _table(self, side: "DataFrame") -> "DataFrame":
        rows = [
            (*values, first, cut.grid.left, cut.grid.right)
            for first, (values, cut) in zip(self.firsts, self.cuts, strict=False)
        ]
        numbers = [StructField(name, IntegerType()) for name in (_FIRST, _LEFT, _RIGHT)]
        kinds = StructType([*(side.schema[key] for key in self.keys), *numbers])
        return side.sparkSession.createDataFrame(rows, kinds)


def _copied(side: "DataFrame", count: "Stripes") -> "DataFrame":
    return side.withColumn(_COPY, sf.lit(0) if isinstance(count, int) and count == 1 else copies(count))


def whole(cut: Cut) -> Plan:
    """The plan without keys."""
    return Plan(0, (((), cut),))

"""Caps: groups of columns around a direction, most of which a row can leave out, for nothing there can be good enough.

The products of a row with all directions say how large its products with the columns of a cap can be: see planes. Where
vectors are clustered, few caps are to be looked into; where they are not, a row could find something everywhere.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from st_spark.topk.planes import Planes
from st_spark.topk.products import factors
from st_spark.topk.quantized import Codes, Plan, encoded, pieces
from st_spark.topk.scores import Matrix, Places, Scores, lengths

# Rows of one product.
ROWS = 1024
# The share of a cap's columns that each of its shells ends at: of those that lie far from the direction, which leave
# the least room, few are enough.
_ENDS = (0.5, 0.86, 1.0)
SHELLS = len(_ENDS)
# Room for the rounding of cosines of float32 rows with their directions.
_ROOM = 1e-5


@dataclass(frozen=True)
class Rows:
    """Rows by the cap that they are nearest to.

    Attributes:
        codes: Of the rows in that order.
        order: [n] the row that comes first, and so on.
        starts: [caps + 1] where the rows of each cap begin.
    """

    codes: Codes
    order: Places
    starts: Places

    @cached_property
    def own(self) -> Places:
        """[n] the cap of each."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


class Caps:
    """The columns of a join by caps.

    Args:
        right: [m, d] vectors.
        score: "cosine" or "dot".
        drawn: [caps, d] float32 directions of length 1.
        dtype: Format of the codes, int8 or float32.

    Attributes:
        factors: [m] what the columns are multiplied by before.
        rows: The columns, cap by cap; those of related caps stand near each other.
        scales: [m] float32, of their codes.
        rounding: What float32 rounds away of a product, as a share of the lengths, with room.
        longest: Bound on the lengths of the columns.
        shells: [caps * shells + 1] where the columns of each shell of each cap begin, from its direction outward.
    """

    def __init__(self, right: Matrix, score: str, drawn: torch.Tensor, dtype: torch.dtype) -> None:
        self.right, self.score = right, score
        self.factors = factors(right, score)
        self.rounding = 2.0**-22 * (right.shape[1] + 16)
        codes = encoded(right, Plan(np.arange(len(right)), self.factors), dtype)
        self.longest = float(codes.lengths.max())
        self._coded, self._units = _coded(drawn, dtype)
        self._planes = Planes(self._coded.float() * self._units[:, None])
        cap, along = self._places(codes, units_of(right) / self.factors)
        order = np.lexsort((-along, cap))
        self.rows = Rows(codes.taken(order), order, _starts(cap, self.count))
        self.scales = torch.from_numpy(self.rows.codes.scales).float()
        ends = self.rows.starts[:-1, None] + np.ceil(np.diff(self.rows.starts)[:, None] * _ENDS).astype(np.int64)
        self.shells = np.concatenate(([0], ends.ravel()))
        self._shells = [_spread(along[order][each - 1]) for each in ends.T]

    @property
    def count(self) -> int:
        """How many caps there are."""
        return len(self._coded)

    def _places(self, codes: Codes, units: Scores) -> tuple[Places, Scores]:
        """[m] the cap of each column, and the least that its cosine with the direction can be; planes learn of them.

        Args:
            codes: The columns.
            units: [m] what makes what is coded one of length 1.
        """
        cap, along = np.empty(len(units), np.int64), np.empty(len(units))
        off = codes.errors * units + self.rounding
        for part in pieces(len(units), ROWS):
            cosines = self._cosines(codes, part, units[part])
            cap[part] = cosines.numpy().argmax(axis=1)
            along[part] = np.take_along_axis(cosines.numpy(), cap[part][:, None], 1)[:, 0] - off[part]
            self._planes.reached(cosines, cap[part], float(off[part].max()))
        return cap, along

    def _cosines(self, codes: Codes, part: slice | Places, units: Scores) -> torch.Tensor:
        """[part, caps] float32 products of coded rows, each times its unit, with the directions."""
        rows = part if isinstance(part, slice) else torch.from_numpy(part)
        values = torch.mul(product(codes.codes[rows], self._coded), self._units)
        return values.mul_(torch.from_numpy(codes.scales[part] * units).float()[:, None])

    def gathered(self, rows: Matrix, factors: Scores) -> Rows:
        """Other rows by the caps that they are nearest to."""
        codes = encoded(rows, Plan(np.arange(len(rows)), factors), self._coded.dtype)
        cap = np.empty(len(rows), np.int64)
        for part in pieces(len(rows), ROWS):
            cap[part] = product(codes.codes[part], self._coded).numpy().argmax(axis=1)
        order = np.argsort(cap, kind="stable")
        return Rows(codes.taken(order), order, _starts(cap, self.count))

    def around(self, cap: int, least: int) -> slice:
        """The columns of a cap, and those before and after that make at least so many with them."""
        start, stop = self.rows.starts[cap : cap + 2].tolist()
        more = max(least - (stop - start) + 1, 0) // 2
        return slice(max(start - more, 0), min(stop + more, len(self.scales)))

    def opened(
        self, codes: Codes, part: slice | Places, own: Places, need: Scores, back: Scores | None = None
    ) -> npt.NDArray[np.uint8]:
        """[part, caps] the first shell of a cap that a row must look into, and into all farther out; SHELLS for none.

        That is where a column can give a row what it needs, or the row the column.

        Args:
            codes: Of rows, multiplied by their factors.
            part: Which rows.
            own: [part] caps that they are near to.
            need: [part] least product that a pair is wanted for.
            back: [caps * shells] the least that any column of a shell needs; None where only rows need something.
        """
        errors = codes.errors[part]
        lengths = codes.lengths[part] + errors
        over = self._planes.over(self._cosines(codes, part, 1 / lengths), own, self.rounding)
        room = 4 * self.rounding + _ROOM
        wanted = _wanted(need - errors * self.longest, lengths * self.longest, room)[:, None]
        theirs = None
        if back is not None:
            most = np.full(len(back), float(lengths.max()) * self.longest)
            theirs = _wanted(back - float(errors.max()) * self.longest, most, room)
        found = torch.full(over.rest.shape, SHELLS, dtype=torch.uint8)
        for shell in reversed(range(SHELLS)):
            least = wanted if theirs is None else torch.minimum(wanted, theirs[shell::SHELLS])
            found.masked_fill_(over.below(least, *self._shells[shell]).logical_not_(), shell)
        return found.numpy()


def units_of(rows: Matrix) -> Scores:
    """[n] what makes each row one of length 1; 0 for zeros."""
    return np.divide(1.0, sizes := lengths(rows), where=sizes > 0, out=np.zeros(len(rows)))


def _coded(directions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions in few bits, and [caps] what makes each one of length 1."""
    unit = float(directions.abs().max()) / 127 if dtype == torch.int8 else 1.0
    coded = (directions / unit).round().to(dtype) if dtype == torch.int8 else directions
    return coded, 1 / coded.float().norm(dim=1)


def _wanted(need: Scores, most: Scores, room: float) -> torch.Tensor:
    """Float32 cosines that are needed where a product is at most so large; infinite where none or all are enough."""
    wanted = np.divide(need, most, where=most > 0, out=np.zeros(len(need))) - room
    wanted = np.where(wanted > 1, np.inf, np.where(wanted > 0, wanted, -np.inf))
    return torch.from_numpy(wanted).float()


def _spread(least: Scores) -> tuple[torch.Tensor, torch.Tensor]:
    """Least cosines of columns with their directions, and their sines; infinite where columns can lie anywhere."""
    cosine = np.clip(least - _ROOM, 0.0, 1.0)
    sine = np.where(cosine > 0, np.sqrt(1 - cosine**2), np.inf)
    return torch.from_numpy(cosine).float(), torch.from_numpy(sine).float()


def _starts(cap: Places, count: int) -> Places:
    return np.concatenate(([0], np.cumsum(np.bincount(cap, minlength=count))))


def product(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """[rows, columns] products of codes, int32 or float32."""
    return torch._int_mm(rows, columns.t()) if rows.dtype == torch.int8 else rows @ columns.t()

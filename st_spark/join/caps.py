"""Caps: groups of columns around a direction, most of which a row can leave out, for nothing there can be good enough.

An angle is a distance: if y lies within t of the direction c of its cap, and x and y shall be no more than f apart,
then x and c are no more than f + t apart. So the product of a row with each direction says which caps to look into.
Where vectors are clustered, these are few; where they are not, a row could find something everywhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.join.codes import Codes, Plan, encoded, pieces, scaled
from st_spark.join.products import factors
from st_spark.join.scores import Places, Scores, lengths
from st_spark.join.vectors import Matrix

# Rows of one product.
ROWS = 1024
# The share of a cap's columns that each of its shells ends at: of those that lie far from the direction, which leave
# the least room, few are enough.
_ENDS = (0.5, 0.86, 1.0)
SHELLS = len(_ENDS)
# Room for the rounding of cosines, and less than any cosine: what is always open.
_ROOM, _ALWAYS = 1e-4, -4.0


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


class Caps:
    """The columns of a join by caps.

    Args:
        right: [m, d] vectors.
        score: "cosine" or "dot".
        drawn: [caps, d] float32 directions of length 1 to begin with.
        dtype: Format of the codes.

    Attributes:
        factors: [m] what the columns are multiplied by before.
        rows: The columns, cap by cap; those of related caps stand near each other.
        scales: [m] float32, of their codes.
        directions: [caps, d] float32 of length 1.
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
        units = units_of(right)
        cap = _nearest(codes, _coded(drawn, dtype)[0])
        filled, cap = np.unique(cap, return_inverse=True)
        self.directions, along = _means(right, units, cap, drawn[torch.from_numpy(filled)])
        self._coded, self._unit, self._error = _coded(self.directions, dtype)
        order = np.lexsort((-along, cap))
        self.rows = Rows(codes.taken(order), order, _starts(cap, self.count))
        self.scales = torch.from_numpy(self.rows.codes.scales).float()
        ends = self.rows.starts[:-1, None] + np.ceil(np.diff(self.rows.starts)[:, None] * _ENDS).astype(np.int64)
        self.shells = np.concatenate(([0], ends.ravel()))
        # For each shell [4, caps]: what the caps add to the least product with their direction, see opened().
        self._terms = [_terms(along[order][each - 1]) for each in ends.T]

    @property
    def count(self) -> int:
        """How many caps there are."""
        return len(self.directions)

    def gathered(self, rows: Matrix, factors: Scores) -> Rows:
        """Other rows by the caps that they are nearest to."""
        codes = encoded(rows, Plan(np.arange(len(rows)), factors), self._coded.dtype)
        cap = _nearest(codes, self._coded)
        order = np.argsort(cap, kind="stable")
        return Rows(codes.taken(order), order, _starts(cap, self.count))

    def around(self, cap: int, least: int) -> slice:
        """The columns of a cap, and those before and after that make at least so many with them."""
        start, stop = self.rows.starts[cap : cap + 2].tolist()
        more = max(least - (stop - start) + 1, 0) // 2
        return slice(max(start - more, 0), min(stop + more, len(self.scales)))

    def opened(
        self, codes: Codes, part: slice | Places, need: Scores, back: Scores | None = None
    ) -> npt.NDArray[np.uint8]:
        """[part, caps] the first shell of a cap that a row must look into, and into all farther out; SHELLS for none.

        That is where a column can give a row what it needs, or the row the column. It takes a product with the
        direction of at least cos(f + t) = cos f cos t - sin f sin t, with the angle t of the shell and the angle f that
        the need leaves.

        Args:
            codes: Of rows, multiplied by their factors.
            part: Which rows.
            need: [part] least product that a pair is wanted for.
            back: [caps * shells] the least that any column of a shell needs; None where only rows need something.
        """
        length, error = codes.lengths[part], codes.errors[part]
        rows = part if isinstance(part, slice) else torch.from_numpy(part)
        values = product(codes.codes[rows], self._coded)
        relative = self.rounding + (2.0**-8 if values.dtype == torch.bfloat16 else 0.0)
        off = error * (1 + self._error) + length * (self._error + relative)
        room, one = -off / np.maximum(length, 1e-300), np.ones(len(need))
        wanted, bias = _wanted(need, length * self.longest)
        terms = np.stack((wanted, -np.sqrt(1 - wanted**2), bias + room, one))
        unit = length / (codes.scales[part] * self._unit)
        ours = torch.from_numpy(terms * unit).float().t()
        theirs = torch.from_numpy(np.stack((one, room)) * unit).float().t()
        found = torch.full(values.shape, SHELLS, dtype=torch.uint8)
        for shell in reversed(range(SHELLS)):
            least = ours @ self._terms[shell]
            if back is not None:
                wide = back[shell::SHELLS] / (float(codes.lengths.max()) * self.longest)
                least = torch.minimum(least, theirs @ _turned(self._terms[shell], wide))
            found.masked_fill_(values >= least, shell)
        return found.numpy()


def units_of(rows: Matrix) -> Scores:
    """[n] what makes each row one of length 1; 0 for zeros."""
    return np.divide(1.0, sizes := lengths(rows), where=sizes > 0, out=np.zeros(len(rows)))


def _coded(directions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, float, float]:
    """Directions of length 1 in few bits, what one unit stands for, and a bound on the length that is left out."""
    unit = float(directions.abs().max()) / 127 if dtype == torch.int8 else 1.0
    coded = (directions / unit).round().to(dtype) if dtype == torch.int8 else directions.to(dtype)
    left_out = (directions - coded.float() * unit).norm(dim=1).max()
    return coded, unit, float(left_out) * (1 + 1e-5) + 1e-6


def _nearest(codes: Codes, directions: torch.Tensor) -> Places:
    found = np.empty(len(codes.codes), np.int64)
    for part in pieces(len(found), ROWS):
        values = product(codes.codes[part], directions)
        found[part] = (values.float() if values.dtype == torch.bfloat16 else values).numpy().argmax(axis=1)
    return found


def _means(rows: Matrix, units: Scores, cap: Places, directions: torch.Tensor) -> tuple[torch.Tensor, Scores]:
    """The directions of the sums of the rows of each cap, and [n] the cosine of each row with its own."""
    sums = torch.zeros_like(directions)
    for part in pieces(len(rows), ROWS):
        sums.index_add_(0, torch.from_numpy(cap[part]), scaled(rows, units, part))
    sizes = sums.norm(dim=1, keepdim=True)
    made = torch.nn.functional.normalize(torch.where(sizes > 0, sums, directions), dim=1)
    along = np.empty(len(rows))
    for part in pieces(len(rows), ROWS):
        x = scaled(rows, units, part).numpy()
        along[part] = np.einsum("ij,ij->i", x, made.numpy()[cap[part]])
    return made, along


def _wanted(need: Scores, most: Scores) -> tuple[Scores, Scores]:
    """The cosines that are needed where a product is at most so large, and what opens or closes all caps at once."""
    wanted = np.divide(need, most, where=most > 0, out=np.zeros(len(need)))
    bias = np.where(need > most * (1 + _ROOM), -_ALWAYS, np.where(wanted > 0, 0.0, _ALWAYS))
    return np.clip(wanted, 0.0, 1.0), bias


def _turned(terms: torch.Tensor, need: Scores) -> torch.Tensor:
    """[2, caps] the least cosine with each direction of a row that gives the columns of a shell what they need."""
    wanted, bias = _wanted(need, np.ones(len(need)))
    cosine, sine, _, more = terms.double().numpy()
    least = wanted * cosine - np.sqrt(1 - wanted**2) * sine + more + bias
    return torch.from_numpy(np.stack((least, np.ones(len(need))))).float()


def _terms(least: Scores) -> torch.Tensor:
    """[4, caps] of shells with a least cosine with their direction."""
    cosine = np.clip(least, 0.0, 1.0)
    sine = np.where(cosine > 0, np.sqrt(1 - cosine**2), 0.0)
    bias = np.where(cosine > 0, -_ROOM, _ALWAYS)
    return torch.from_numpy(np.stack((cosine, sine, np.ones(len(least)), bias))).float()


def _starts(cap: Places, count: int) -> Places:
    return np.concatenate(([0], np.cumsum(np.bincount(cap, minlength=count))))


def product(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """[rows, columns] products of codes, int32 or as the codes are."""
    return torch._int_mm(rows, columns.t()) if rows.dtype == torch.int8 else rows @ columns.t()

"""How large a product can be at most, told from planes through the directions of two caps.

With the direction b of a column's cap, and e, what is left of the direction a of a row's cap at right angles to b,
    x y <= (x b) (y b) + |x e| |y e| + r(x) r(y)
for x and y of length 1, where r is the length of what sticks out of the plane. A row of a cluster has most of its
length along a, and little is left to be near to a column of another cluster. With b alone, which is the triangle
inequality of angles, all that the row has beside b counts.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from st_spark.topk.scores import Places

# The largest square of the cosine of two directions that span a plane; of others the first one alone is used.
_MOST = 0.5
# For how far off products are with what is left of a direction, before it is stretched.
_OFF = 2


class Planes:
    """The planes of all pairs of directions.

    Args:
        directions: [caps, d] float32 of length 1.
    """

    def __init__(self, directions: torch.Tensor) -> None:
        self._cosines = directions @ directions.t()
        squares = self._cosines.square()
        # By what to stretch what is left of a direction to length 1; 0 for none.
        self._stretch = torch.where(squares <= _MOST, (1 - squares).clamp_(min=1 - _MOST).rsqrt_(), 0.0)
        # [caps of columns, caps of rows] how far a column goes at most along what is left of the direction of the row.
        self._reach = torch.zeros_like(squares)

    def reached(self, cosines: torch.Tensor, own: Places, off: float) -> None:
        """Learns how far some columns go, before over() is asked.

        Args:
            cosines: [n, caps] with all directions, of columns of length 1.
            own: [n] their caps.
            off: How far off the cosines are.
        """
        cap = torch.from_numpy(own)
        beside = self._cosines.index_select(0, cap).mul_(cosines.gather(1, cap[:, None])).sub_(cosines)
        beside = beside.abs_().add_(_OFF * off).mul_(self._stretch.index_select(0, cap))
        self._reach.scatter_reduce_(0, cap[:, None].expand(beside.shape), beside, "amax")

    def over(self, cosines: torch.Tensor, own: Places, off: float) -> "Over":
        """How rows stand to the planes of their own direction with all others.

        Args:
            cosines: [n, caps] with all directions, of rows of length 1 or less.
            own: [n] their caps.
            off: How far off the cosines are.
        """
        cap = torch.from_numpy(own)
        beside = self._cosines.index_select(0, cap).mul_(cosines).sub_(cosines.gather(1, cap[:, None]))
        beside = beside.mul_(self._stretch.index_select(0, cap)).abs_()
        left = torch.addcmul(torch.tensor(1 + 6 * off), cosines, cosines, value=-1)
        rest = left.addcmul_(beside, beside, value=-1).clamp_(min=0).sqrt_()
        return Over(cosines, rest, beside.mul_(self._reach_of_rows.index_select(0, cap)))

    @cached_property
    def _reach_of_rows(self) -> torch.Tensor:
        return self._reach.t().contiguous()


@dataclass(frozen=True)
class Over:
    """Rows over the planes of their own direction and each other one.

    Attributes:
        cosines: [n, caps] with the other direction.
        rest: [n, caps] the length of what sticks out of the plane.
        side: [n, caps] the most that the product with a column can get from the rest of the plane.
    """

    cosines: torch.Tensor
    rest: torch.Tensor
    side: torch.Tensor

    def below(self, wanted: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        """[n, caps] whether no column of a shell has a cosine that is wanted.

        The bound falls the farther a column is from its direction, but for rows that are nearer to it themselves.

        Args:
            wanted: [n, caps].
            cosine: [caps] least cosine of the columns of the shell with their direction.
            sine: [caps] its sine; infinite where columns can lie anywhere.
        """
        most = torch.addcmul(self.side, self.cosines, cosine).addcmul_(self.rest, sine)
        falls = self.cosines * sine <= self.rest * cosine
        return (most < wanted).logical_and_(falls)

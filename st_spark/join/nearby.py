"""The best columns of rows by caps: those around a row's own cap tell what it needs, most others cannot give it."""

import numpy as np
import torch

from st_spark.join.candidates import Candidates
from st_spark.join.caps import ROWS, Caps, product
from st_spark.join.codes import fastest, pieces, scaled
from st_spark.join.products import factors
from st_spark.join.scores import Places, Scores, lengths
from st_spark.join.vectors import Matrix

# Columns for each of the k wanted that tell at first what a row needs, and rows that meet a shell at a time.
_FIRST, _MET = 6, 4096
# Fewer pairs are all multiplied in less time than it takes to find caps; so are columns of which the k best are a large
# share.
_PAIRS, _MANY = 1 << 31, 64
# Rows and columns of a trial, and the share of pairs that may be left for caps to pay.
_TRIED, _DRAWN, _SHARE = 256, 16384, 0.1


def caps_for(left: Matrix, right: Matrix, k: int | None, score: str, need: Scores) -> Caps | None:
    """The caps of the columns; None where meeting by caps would cost more than it saves.

    Args:
        left: [n, d] vectors.
        right: [m, d] vectors.
        k: How many are wanted of each row; None for all with the score that is needed.
        score: One of vectors.SCORES.
        need: [n] least score that a pair is wanted for.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    few = len(left) * len(right) < _PAIRS or len(right) < _MANY * (k or 0)
    # Of euclidean products are no scores; CUDA multiplies all in less time than many small products take.
    if few or score == "euclidean" or device.type == "cuda":
        return None
    tried = np.random.default_rng(2).permutation(len(left))[:_TRIED]
    if expected_share(left[tried], right, k, score, need[tried]) > _SHARE:
        return None
    caps = Caps(right, score, fastest(device))
    return caps if Nearby(caps, left[tried], k, need[tried]).share() <= _SHARE else None


def expected_share(left: Matrix, right: Matrix, k: int | None, score: str, need: Scores) -> float:
    """About the share of pairs that caps would leave, told from some columns, before any caps are found.

    In a cluster whose rows have a cosine of v with each other, each has one of about the root of v with the middle. So
    that is how wide a cap would be around the neighbours that a row needs, and other columns stand for other caps.
    """
    random = np.random.default_rng(3)
    some = random.permutation(len(right))[:_DRAWN]
    longest = 1.0 if score == "cosine" else float(lengths(right).max())
    sizes = np.maximum(lengths(left), np.finfo(np.float32).tiny)
    x, y = scaled(left, 1 / sizes, slice(None)), scaled(right, factors(right, score) / longest, some)
    products = (x @ y.t()).numpy()
    wanted = need if score == "cosine" else need / (sizes * longest)
    if k is not None:
        rank = max(round(k * len(some) / len(right)), 1)
        wanted = np.maximum(wanted, np.partition(products, -rank, axis=1)[:, -rank])
    v = np.clip(wanted, 1e-6, 1.0)
    least = v**1.5 - np.sqrt((1 - v**2) * (1 - v))
    return float((products >= (least * np.sqrt(v))[:, None]).mean())


class Nearby:
    """Looks for the k best columns of some rows, or for all that give what is needed.

    Args:
        caps: The columns.
        left: [n, d] vectors.
        k: How many, or None for all.
        need: [n] least product that a pair is wanted for; -inf for all.

    Attributes:
        order: [n] the row that comes first in what is found, and so on; columns come in the order of the caps.
        need: [n] least product that a pair is wanted for, in that order, as far as it is known.
    """

    def __init__(self, caps: Caps, left: Matrix, k: int | None, need: Scores) -> None:
        self.caps, self.left = caps, left
        self.factors = factors(left, caps.score)
        rows = caps.gathered(left, self.factors)
        self.order, self.codes, self._starts = rows.order, rows.codes, rows.starts
        self.need = need[rows.order].astype(np.float64)
        if k is not None:
            self._raise_need(k)

    def share(self) -> float:
        """The share of all pairs that may be good enough."""
        sizes = np.diff(self.caps.shells) / len(self.caps.rows.order)
        return float((self._open(slice(None)) @ sizes).mean())

    def candidates(self) -> Candidates:
        """What can be among the k best or have what is needed."""
        starts = self.caps.shells
        found = []
        for part in pieces(len(self.order), ROWS):
            row, opened = np.divmod(np.flatnonzero(self._open(part)), len(starts) - 1)
            found.append((row + part.start, opened.astype(np.uint16 if len(starts) <= 1 << 16 else np.int64)))
        rows, shells = (np.concatenate(side) for side in zip(*found, strict=True))
        rows = rows[np.argsort(shells, kind="stable")]
        ends = np.concatenate(([0], np.cumsum(np.bincount(shells, minlength=len(starts) - 1))))
        parts = []
        some_open: list[int] = np.flatnonzero(np.diff(ends) * np.diff(starts)).tolist()
        for shell in some_open:
            columns, wanted = slice(*starts[shell : shell + 2].tolist()), rows[ends[shell] : ends[shell + 1]]
            parts += [self._found(wanted[some], columns) for some in pieces(len(wanted), _MET)]
        return Candidates.joined(parts)

    def _raise_need(self, k: int) -> None:
        """To the k-th best of the columns in and beside the cap of each row; in float32, for these are few."""
        lengths = self.codes.lengths
        for place in np.flatnonzero(np.diff(self._starts)).tolist():
            columns = self.caps.around(place, _FIRST * k)
            if columns.stop - columns.start < k:
                continue
            y = scaled(self.caps.right, self.caps.factors, self.caps.rows.order[columns])
            longest = float(self.caps.rows.codes.lengths[columns].max())
            first, stop = self._starts[place : place + 2].tolist()
            for part in pieces(stop - first, ROWS):
                rows = slice(first + part.start, first + part.stop)
                x = scaled(self.left, self.factors, self.order[rows])
                kth = (x @ y.t()).topk(k, dim=1).values[:, -1].double().numpy()
                kth -= self.caps.rounding * longest * lengths[rows] + np.finfo(np.float64).tiny
                self.need[rows] = np.maximum(self.need[rows], kth)

    def _open(self, part: slice) -> np.ndarray:
        """[part, shells] see Caps.open."""
        return self.caps.open(self.codes, part, self.need[part])

    def _found(self, rows: Places, columns: slice) -> Candidates:
        """The pairs of some rows and columns that can be good enough."""
        ours, theirs = self.codes, self.caps.rows.codes
        values = product(ours.codes.index_select(0, torch.from_numpy(rows)), theirs.codes[columns])
        near = torch.mul(values, self.caps.scales[columns]).numpy()
        longest, worst = theirs.lengths[columns].max(), theirs.errors[columns].max()
        relative = self.caps.rounding + (2.0**-8 if values.dtype == torch.bfloat16 else 0.0)
        off = ours.errors[rows] * (longest + worst) + ours.lengths[rows] * (worst + longest * relative)
        scale = ours.scales[rows]
        least = ((self.need[rows] - off) / scale).astype(np.float32)
        # What float32 rounds here, `relative` has room for.
        flat = np.flatnonzero(near >= np.nextafter(least, np.float32(-np.inf))[:, None])
        which, place = np.divmod(flat, near.shape[1])
        value = near.reshape(-1)[flat].astype(np.float64) * scale[which]
        return Candidates.near(rows[which], place + columns.start, value, off[which])

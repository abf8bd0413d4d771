"""Whether caps pay: told from some columns, then tried with some rows."""

import math

import numpy as np
import torch

from st_spark.hardware import fastest
from st_spark.topk.cluster_scan import Nearby
from st_spark.topk.clusters import Caps, units_of
from st_spark.topk.pivots import pivots_of
from st_spark.topk.products import factors
from st_spark.topk.quantized import scaled
from st_spark.topk.scores import Matrix, Scores, lengths

# Fewer pairs are all multiplied in less time than it takes to find caps, of int8 so many times more; so are columns of
# which the k best are a large share.
_PAIRS, _INT8, _MANY = 1 << 28, 4, 64
# Rows and columns of a trial, the share of pairs that may be left for caps to pay, and that of all time.
_TRIED, _DRAWN, _SHARE, _COST = 256, 16384, 0.1, 0.4
# Caps for each group that columns seem to form (of fewer some columns would lie far from all directions), and for the
# root of each column at least and at most; and the most of all, for there are tables of all pairs of them.
_CAPS, _LEAST, _MOST, _ALL = 1.1, 4, 9, 4096
# The share of the score that is needed that rows of a group have with each other; and how far the columns of a cap go
# at most along another direction, in standard deviations of the products of other pairs.
_GROUP, _REACH = 0.8, 2.5


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
    dtype = fastest(device)
    least = _PAIRS * (_INT8 if dtype == torch.int8 else 1)
    few = len(left) * len(right) < least or len(right) < _MANY * (k or 0)
    # Of euclidean products are no scores; CUDA multiplies all in less time than many small products take.
    if few or score == "euclidean" or device.type == "cuda":
        return None
    tried = np.random.default_rng(2).permutation(len(left))[:_TRIED]
    rows, needed = left[tried], need[tried]
    share, groups = expected(rows, right, k, score, needed)
    if share > _SHARE:
        return None
    root = math.sqrt(len(right))
    count = round(min(max(_CAPS * groups, _LEAST * root), _MOST * root, _ALL))
    caps = Caps(right, score, pivots_of(right, units_of(right), count), dtype)
    return caps if Nearby(caps, rows, k, needed).cost() <= _COST else None


def expected(left: Matrix, right: Matrix, k: int | None, score: str, need: Scores) -> tuple[float, float]:
    """About the share of pairs that caps would leave, told from some columns, and how many groups these form.

    The rows of a group have a cosine of w with each other, so each has one of about the root of w with the middle: the
    bound of planes is then x y + |x e| |y e| + 1 - w, with other columns for the middles of other groups.
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
    near = products >= (_GROUP * v)[:, None]
    # Where nothing is near, as where few rows have what a threshold asks for, groups may be as close as that.
    w = np.where(near, products, 0.0).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    w = np.clip(np.where(near.any(axis=1), w, v), 1e-6, 1.0)[:, None]
    reach = _REACH * np.sqrt(np.var(products[~near]) / w) if not near.all() else 0.0
    most = products + np.sqrt(np.maximum(w - products**2 / w, 0.0)) * reach + 1 - w
    return float((most >= wanted[:, None]).mean()), 1 / max(float(near.mean()), 1 / len(right))

"""Groups of rows from pairs of ids: connected components, or the followers of leaders.

Components are spanning forests that can be merged. A forest has one tree for each group of two or more ids. The
smallest id is the root, and each other id has one edge to it. So a forest has fewer edges than ids, for any number of
pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from st_spark.topk.pairs import Pairs
from st_spark.topk.scores import Places

IdPairs = tuple[pa.Array, pa.Array]
Pair = tuple[Any, Any, float | None]  # right id, left id, score

# Pairs are merged when there are this many, and as many as edges of the forest. So each edge is merged few times.
_MIN_PAIRS = 1 << 21


@dataclass(frozen=True)
class Forest:
    """Groups of two ids or more."""

    root: pa.Array  # [edges] the smallest id of the group
    id: pa.Array  # [edges] another id of the group, each once

    def groups(self) -> pa.Table:
        """Return a row for each id, roots included: id, group (the smallest id of the group) and size."""
        encoded = self.root.dictionary_encode()
        root, place = encoded.dictionary, _numbers(encoded.indices)
        size = np.bincount(place, minlength=len(root)) + 1
        columns = [pa.concat_arrays([root, self.id]), pa.concat_arrays([root, self.root])]
        return pa.table([*columns, pa.array(np.concatenate([size, size[place]]))], names=["id", "group", "size"])


def forest(left: pa.Array, right: pa.Array) -> Forest:
    """Return the connected components of pairs of ids: integers, or strings (ordered by their UTF-8 bytes)."""
    encoded = pa.concat_arrays([left, right]).dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[_numbers(order)] = np.arange(len(order))
    places, ids = rank[_numbers(encoded.indices)], encoded.dictionary.take(order)
    root, other = _trees(_components(places[: len(left)], places[len(left) :], len(ids)))
    return Forest(ids.take(root), ids.take(other))


def merge_forests(parts: Iterable[IdPairs], min_pairs: int = _MIN_PAIRS) -> Forest | None:
    """Return the forest of all parts: pairs, or edges of forests. Memory holds the forest and about as many pairs.

    At least `min_pairs` pairs are collected before they are merged.
    """
    merged: Forest | None = None
    waiting: list[IdPairs] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part[0])
        if count >= max(min_pairs, len(merged.id) if merged else 0):
            merged, waiting, count = _merge(merged, waiting), [], 0
    return _merge(merged, waiting) if waiting else merged


def reduce_to_tree_edges(left: pa.Array, right: pa.Array, parts: Iterator[Pairs]) -> Iterator[pa.RecordBatch]:
    """Yield the edges of the forest of one task's pairs: left_id, right_id. This is a results.PairReducer."""
    self_pairs = right is left
    ids = pa.chunked_array([left] if self_pairs else [left, right])
    label = np.arange(len(ids))
    for part in parts:
        others = part.right + (0 if self_pairs else len(left))
        label = _components(label[part.left], label[others], label.max() + 1)[label]
    edges = (ids.take(places).combine_chunks() for places in _trees(label))
    yield pa.RecordBatch.from_arrays(list(edges), names=["left_id", "right_id"])


def assign_leaders(pairs: Iterable[Pair]) -> Iterator[tuple[Any, Any]]:
    """Yield the rows that follow a leader, in the order of ids, each with the id of its leader.

    Each row joins the most similar leader before it; of equal ones the leader with the smallest id. It becomes a leader
    itself if none is within the threshold. The pairs are those within the threshold, left id < right id, sorted by
    right id and left id. A copy of a row has one pair only, with that row and the score None. Its scores are the row's.
    """
    # Each follower's most similar leader so far. A leader that comes after the row counts too, for copies of the row.
    nearest: dict[Any, tuple[float, Any]] = {}
    for right, group in groupby(pairs, itemgetter(0)):
        own = [(left, score) for _, left, score in group]
        copied = own[0][0] if own[0][1] is None else None
        if copied is not None:
            yield right, nearest[copied][1] if copied in nearest else copied
            continue
        scored = [(score, left) for left, score in own if score is not None]
        leaders = [pair for pair in scored if pair[1] not in nearest]
        if leaders:
            nearest[right] = max(leaders, key=itemgetter(0))  # of equal scores the first
            yield right, nearest[right][1]
            continue
        for score, left in scored:
            if score > nearest[left][0]:
                nearest[left] = (score, right)


def _components(left: Places, right: Places, size: int) -> Places:
    """Return the component of each index, [size]."""
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1])


def _trees(label: Places) -> tuple[pa.Array, pa.Array]:
    """Return each index that is not the first of its component, preceded by that first index."""
    _, first, group = np.unique(label, return_index=True, return_inverse=True)
    root = first[group]
    others = np.flatnonzero(root != np.arange(len(label)))
    return pa.array(root[others]), pa.array(others)


def _merge(merged: Forest | None, parts: Sequence[IdPairs]) -> Forest:
    known = [] if merged is None else [(merged.root, merged.id)]
    left, right = (pa.concat_arrays([part[side] for part in (*known, *parts)]) for side in (0, 1))
    return forest(left, right)


def _numbers(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))

"""Pairs of ids to groups: spanning forests, which merge. No Spark.

A forest has one tree for each group of two ids or more: the smallest id is the root, and each other id hangs on it.
So a forest has fewer edges than ids, however many pairs it was made of, and says at once which group an id is in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from st_spark.topk.pairs import Pairs

Places = npt.NDArray[np.int64]
Sides = tuple[pa.Array, pa.Array]

# Pairs are gathered until there are so many, or as many as edges, before they are merged: each costs but a few merges.
_GATHERED = 1 << 21


@dataclass(frozen=True)
class Forest:
    """Groups of two ids or more.

    Attributes:
        root: [edges] the smallest id of the group.
        id: [edges] another id of it, each once.
    """

    root: pa.Array
    id: pa.Array

    def groups(self) -> pa.Table:
        """One row for each id, the roots too: id, group (the smallest id of it) and size."""
        places = self.root.dictionary_encode()
        root, place = places.dictionary, _numbers(places.indices)
        size = np.bincount(place, minlength=len(root)) + 1
        columns = [pa.concat_arrays([root, self.id]), pa.concat_arrays([root, self.root])]
        return pa.table([*columns, pa.array(np.concatenate([size, size[place]]))], names=["id", "group", "size"])


def forest(left: pa.Array, right: pa.Array) -> Forest:
    """The groups that pairs make, those joined by a chain of pairs being one group.

    Args:
        left: [pairs] ids, integers or strings (ordered by their UTF-8 bytes), none null.
        right: [pairs] ids of the same type.
    """
    ids, places = _ranked(pa.concat_arrays([left, right]))
    root, hanging = _trees(_components(places[: len(left)], places[len(left) :], len(ids)))
    return Forest(ids.take(root), ids.take(hanging))


def merged(parts: Iterable[Sides]) -> Forest | None:
    """The forest of all parts, each of them pairs or a forest's root and id; None if there is none.

    Memory is that of the forest and as many pairs, not that of all pairs.
    """
    whole: Forest | None = None
    held: list[Sides] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part[0])
        if count >= max(_GATHERED, len(whole.id) if whole else 0):
            whole, held, count = _grown(whole, held), [], 0
    return _grown(whole, held) if held else whole


def of_meeting(left: pa.Array, right: pa.Array, parts: "Iterator[Pairs]") -> Iterator[pa.RecordBatch]:
    """The trees that the pairs of one meeting make, so that a task gives back few pairs however many it finds.

    Args:
        left: Ids of the left places.
        right: Ids of the right places; the same array where rows meet each other.
        parts: The pairs, as places, some at a time.

    Yields:
        left_id, right_id: pairs that make the same groups.
    """
    alone = right is left
    places = pa.chunked_array([left] if alone else [left, right])
    label = np.arange(len(places))
    for part in parts:
        label = _components(label[part.left], label[part.right + (0 if alone else len(left))], label.max() + 1)[label]
    trees = (places.take(each).combine_chunks() for each in _trees(label))
    yield pa.RecordBatch.from_arrays(list(trees), names=["left_id", "right_id"])


def _components(left: Places, right: Places, size: int) -> Places:
    """[size] the number of the component of each place."""
    pairs = (np.ones(len(left), dtype=np.int8), (left, right))
    return np.asarray(connected_components(coo_array(pairs, shape=(size, size)), directed=False)[1])


def _trees(label: Places) -> tuple[pa.Array, pa.Array]:
    """The first place of a component and another, for each other; places ascend."""
    _, first, group = np.unique(label, return_index=True, return_inverse=True)
    root = first[group]
    hanging = np.flatnonzero(root != np.arange(len(label)))
    return pa.array(root[hanging]), pa.array(hanging)


def _grown(whole: Forest | None, parts: Sequence[Sides]) -> Forest:
    known = [] if whole is None else [(whole.root, whole.id)]
    left, right = (pa.concat_arrays([part[side] for part in (*known, *parts)]) for side in (0, 1))
    return forest(left, right)


def _ranked(ids: pa.Array) -> tuple[pa.Array, Places]:
    """The different ids in ascending order, and the place of each given one among them."""
    encoded = ids.dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[_numbers(order)] = np.arange(len(order))
    return encoded.dictionary.take(order), rank[_numbers(encoded.indices)]


def _numbers(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))

"""Spanning forests: the groups that scipy finds, named by their smallest ids, for pairs in any parts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from st_spark.join.tasks.groups import Forest, forest, merge_forests, reduce_to_tree_edges
from st_spark.topk.pairs import Pairs

Ids = npt.NDArray[np.int64]
NUMBERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def groups_of(found: Forest | None) -> dict[Any, tuple[Any, int]]:
    """Return group and size by id."""
    rows = [] if found is None else found.groups().to_pylist()
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: (row["group"], row["size"]) for row in rows}


def by_spreading(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, tuple[Any, int]]:
    """Return the groups by a plain method: every id takes the smallest id of its pairs until nothing changes."""
    order = {name: rank for rank, name in enumerate(sorted({*sum(pairs, ())}, key=_bytes))}
    smallest = {name: name for name in order}
    changed = True
    while changed:
        changed = False
        for pair in pairs:
            least = min((smallest[name] for name in pair), key=order.__getitem__)
            changed |= any(smallest[name] != least for name in pair)
            smallest |= dict.fromkeys(pair, least)
    sizes = {name: sum(other == group for other in smallest.values()) for name, group in smallest.items()}
    return {name: (group, sizes[name]) for name, group in smallest.items() if sizes[name] > 1}


def _bytes(name: Any) -> Any:
    return name.encode() if isinstance(name, str) else name


def pairs_of(left: Ids, right: Ids) -> tuple[pa.Array, pa.Array]:
    return pa.array(left), pa.array(right)


@given(st.one_of(*(st.lists(st.tuples(ids, ids), max_size=30) for ids in (NUMBERS, st.integers(0, 20), TEXTS))))
def test_groups_match_spreading_the_smallest_id(pairs: list[tuple[int | str, int | str]]) -> None:
    kind = pa.large_string() if pairs and isinstance(pairs[0][0], str) else pa.int64()
    left, right = (pa.array([pair[side] for pair in pairs], kind) for side in (0, 1))
    assert groups_of(forest(left, right)) == by_spreading(pairs)


@pytest.mark.parametrize("pairs", [10, 300, 500, 700, 5_000])
@pytest.mark.parametrize("text", [False, True])
def test_components_of_a_random_graph_are_scipys(pairs: int, text: bool) -> None:
    random = np.random.default_rng(pairs)
    left, right = random.integers(0, 1_000, (2, pairs))
    _, label = connected_components(coo_array((np.ones(pairs), (left, right)), shape=(1_000, 1_000)), directed=False)
    names = np.array([f"{i:04}" if text else i + 2**53 for i in random.permutation(1_000)], dtype=object)
    expected: dict[Any, tuple[Any, int]] = {}
    for component in range(label.max() + 1):
        members = names[label == component]
        if len(members) > 1:
            expected |= dict.fromkeys(members, (min(members), len(members)))
    assert groups_of(forest(pa.array(names[left]), pa.array(names[right]))) == expected


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20), st.data())
def test_neither_the_order_of_pairs_nor_their_parts_nor_their_sides_matter(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    mixed = [pair[:: data.draw(st.sampled_from((1, -1)))] for pair in data.draw(st.permutations(pairs))]
    ends = sorted(data.draw(st.lists(st.integers(0, len(pairs)), max_size=4)))
    parts = [mixed[a:b] for a, b in zip([0, *ends], [*ends, len(pairs)], strict=True)]
    arrays = [
        (pa.array([x for x, _ in part], pa.int64()), pa.array([y for _, y in part], pa.int64())) for part in parts
    ]
    whole = merge_forests((found.root, found.id) for found in (forest(*pair) for pair in arrays))
    assert groups_of(whole) == groups_of(merge_forests(arrays)) == by_spreading(pairs)


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), st.integers(1, 5))
def test_the_edges_of_a_task_are_fewer_pairs_with_the_same_groups(
    self_pairs: bool, pairs: list[tuple[int, int]], size: int
) -> None:
    left = pa.array([f"{i:02}" for i in range(0, 20, 2)])
    right = left if self_pairs else pa.array([f"{i:02}" for i in range(1, 21, 2)])
    parts = [np.array(pairs[i : i + size]).T for i in range(0, len(pairs), size)]
    (batch,) = reduce_to_tree_edges(left, right, (Pairs(a, b, np.ones(len(a))) for a, b in parts))
    named = [(left[a].as_py(), right[b].as_py()) for a, b in pairs]
    found = groups_of(forest(*batch.columns))
    assert found == by_spreading(named)
    assert len(batch) == len(found) - len({group for group, _ in found.values()})


def test_other_names_in_the_same_order_give_the_same_groups() -> None:
    random = np.random.default_rng(1)
    left, right = random.integers(0, 400, (2, 300))
    names = np.sort(random.choice(2**62, 400, replace=False))
    renamed = {
        names[key]: (names[group], size) for key, (group, size) in groups_of(forest(*pairs_of(left, right))).items()
    }
    assert groups_of(forest(*pairs_of(names[left], names[right]))) == renamed


@pytest.mark.parametrize("shape", ["chain", "star"])
def test_a_hundred_thousand_ids_in_a_chain_or_a_star_are_one_group(shape: str) -> None:
    ids = np.random.default_rng(0).permutation(100_000)
    left = ids[:-1] if shape == "chain" else np.full(len(ids) - 1, ids[0])
    pieces = [(left[i : i + 2_500], ids[1:][i : i + 2_500]) for i in range(0, len(left), 2_500)]
    found = merge_forests((pairs_of(*piece) for piece in pieces), min_pairs=1_000)
    assert found is not None
    assert len(found.id) == 99_999
    assert found.root.unique().to_pylist() == [0]


def test_no_pairs_make_no_group() -> None:
    assert merge_forests(iter([])) is None
    assert forest(pa.array([], pa.int64()), pa.array([], pa.int64())).groups().num_rows == 0


def test_a_forest_has_fewer_edges_than_ids_however_many_pairs_there_are() -> None:
    left, right = np.triu_indices(300, 1)
    assert len(forest(*pairs_of(left, right)).id) == 299

"""Leaders: the same groups as the plain loop over all rows, copies of rows included."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from st_spark.join.tasks.groups import Pair, assign_leaders


def by_the_plain_loop(scores: npt.NDArray[np.float64], threshold: float) -> dict[int, int]:
    """Return the leader of each row that is not a leader, from all scores."""
    leaders: list[int] = []
    found = {}
    for row in range(len(scores)):
        near = [leader for leader in leaders if scores[row, leader] >= threshold]
        if near:
            found[row] = max(near, key=lambda leader: (scores[row, leader], -leader))
        else:
            leaders.append(row)
    return found


def test_a_row_joins_the_most_similar_leader_before_it() -> None:
    pairs: list[Pair] = [(2, 1, 0.91), (4, 1, 0.92), (4, 3, 0.95), (5, 2, 0.99), (5, 4, 0.99), (6, 5, 0.9)]
    assert list(assign_leaders(pairs)) == [(2, 1), (4, 3), (6, 5)]


def test_of_equal_leaders_a_row_joins_the_smallest_id() -> None:
    assert list(assign_leaders([("c", "a", 0.9), ("c", "b", 0.9)])) == [("c", "a")]


def test_a_copy_may_join_a_leader_that_came_after_its_original() -> None:
    pairs: list[Pair] = [(2, 1, 0.9), (3, 2, 0.95), (4, 2, None)]  # 1 and 3 lead; 4 equals 2
    assert list(assign_leaders(pairs)) == [(2, 1), (4, 3)]


@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 12), st.sampled_from([0.0, 0.5, 0.8, 1.0]))
def test_groups_match_a_plain_loop(seed: int, rows: int, kinds: int, threshold: float) -> None:
    """Few distinct points and coarse scores: many copies, many ties."""
    random = np.random.default_rng(seed)
    half = np.triu(random.integers(0, 10, (kinds, kinds)) / 10, 1)
    between = half + half.T + np.eye(kinds)
    kind = random.integers(0, kinds, rows)
    scores = between[np.ix_(kind, kind)]
    first = {k: int(np.flatnonzero(kind == k)[0]) for k in set(kind.tolist())}
    copies: list[Pair] = [(row, first[k], None) for row, k in enumerate(kind.tolist()) if first[k] != row]
    firsts = sorted(first.values())
    pairs: list[Pair] = [(b, a, scores[a, b]) for b in firsts for a in firsts if a < b and scores[a, b] >= threshold]
    assert dict(assign_leaders(sorted(pairs + copies, key=lambda pair: pair[:2]))) == by_the_plain_loop(
        scores, threshold
    )

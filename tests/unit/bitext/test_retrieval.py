"""Retrieval: the pairs and scores of LASER's definition, one-to-one matching, and symmetry of both sides."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.bitext.margins import margins
from st_spark.bitext.retrieval import Rule, ScoredPairs, one_to_one, select
from st_spark.choices import CANDIDATES, MARGINS, RETRIEVALS
from st_spark.topk.pairs import Pairs
from tests.spark.join.tables import random_vectors
from tests.unit.bitext import laser


def clustered(seed: int, rows: int, dimension: int = 8) -> npt.NDArray[Any]:
    """Return translations with noise, hubs and rows without a partner. All seeds share the centres."""
    centers = np.random.default_rng(0).standard_normal((12, dimension))
    rng = np.random.default_rng(seed)
    return np.asarray(centers[np.arange(rows) % 12] + 0.4 * rng.standard_normal((rows, dimension)))


DATA = {
    "random": (random_vectors(1, 60, 5), random_vectors(2, 50, 5)),
    "clustered": (clustered(1, 60), clustered(2, 45)),
    "small": (clustered(3, 3), clustered(4, 2)),
}


def k_nearest(similarity: npt.NDArray[np.float64], k: int) -> Pairs:
    """Return the k nearest of each row, found among all pairs in random order."""
    places = np.random.default_rng(0).permutation(similarity.size)
    row, other = np.divmod(places, similarity.shape[1])
    return Pairs(row, other, similarity[row, other]).sorted().first(k)


def mine(similarity: npt.NDArray[np.float64], rule: Rule) -> ScoredPairs:
    return select(k_nearest(similarity, rule.k), k_nearest(similarity.T, rule.k), rule)


def pairs(found: ScoredPairs) -> dict[tuple[int, int], float]:
    rows = zip(found.source.tolist(), found.target.tolist(), found.score.tolist(), strict=True)
    return {(i, j): score for i, j, score in rows}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("margin", "retrieval", "candidates"), itertools.product(MARGINS, RETRIEVALS, CANDIDATES))
def test_pairs_and_scores_match_lasers_definition(data: str, margin: str, retrieval: str, candidates: str) -> None:
    similarity = laser.cosines(*DATA[data])
    for k, threshold in ((1, -9.0), (4, {"ratio": 1.02, "distance": 0.02, "absolute": 0.5}[margin])):
        found = pairs(mine(similarity, Rule(k, margin, retrieval, candidates, threshold)))
        expected = laser.mine(similarity, k, margin, retrieval, threshold, candidates)
        assert found.keys() == expected.keys()
        assert found == pytest.approx(expected, abs=1e-9)
    assert data == "small" or expected


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_swapped_sides_give_swapped_pairs(retrieval: str) -> None:
    similarity = laser.cosines(*DATA["clustered"])
    swapped = {"forward": "backward", "backward": "forward"}.get(retrieval, retrieval)
    one = pairs(mine(similarity, Rule(retrieval=retrieval, threshold=0.0)))
    other = pairs(mine(similarity.T, Rule(retrieval=swapped, threshold=0.0)))
    assert {(j, i): score for (i, j), score in other.items()} == one


edges = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60)


@given(edges)
def test_one_to_one_matches_a_loop_over_the_best_first(ordered: list[tuple[int, int]]) -> None:
    source, target = (np.array([pair[side] for pair in ordered], np.int64) for side in (0, 1))
    kept: list[int] = []
    for place, (i, j) in enumerate(ordered):
        if all(ordered[k][0] != i and ordered[k][1] != j for k in kept):
            kept.append(place)
    assert one_to_one(source, target).tolist() == kept


def test_of_equal_scores_the_smaller_ids_win() -> None:
    similarity = np.ones((3, 3))
    assert pairs(mine(similarity, Rule(k=3, threshold=0.0))) == {(0, 0): 1.0}
    every = mine(similarity, Rule(k=3, threshold=0.0, candidates="all"))
    assert pairs(every) == {(i, i): 1.0 for i in range(3)}
    assert every.forward_rank.tolist() == [1, 2, 3]


def test_a_ratio_of_zero_to_zero_is_no_pair() -> None:
    assert np.isnan(margins("ratio", *np.zeros((3, 1)))).all()
    for retrieval, candidates in itertools.product(RETRIEVALS, CANDIDATES):
        rule = Rule(retrieval=retrieval, candidates=candidates, threshold=-np.inf)
        assert not pairs(mine(np.zeros((4, 5)), rule))
    assert len(pairs(mine(np.zeros((4, 5)), Rule(margin="distance", candidates="all", threshold=-1.0)))) == 4


def test_a_rejected_pair_counts_for_the_means_but_does_not_take_its_rows() -> None:
    similarity = np.array([[1.0, 0.8, 0.1], [0.2, 0.3, 0.9]])
    near, back = k_nearest(similarity, 2), k_nearest(similarity.T, 2)
    rejected = np.array([0]), np.array([0])
    found = pairs(select(near, back, Rule(k=2, threshold=0.0), rejected))
    expected = laser.mine(similarity, 2, retrieval="union", candidates="all")
    assert found == {(0, 1): pytest.approx(expected[0, 1]), (1, 2): pytest.approx(expected[1, 2])}


def test_the_threshold_is_strict_and_ranks_count_from_one() -> None:
    similarity = np.array([[0.9, 0.5], [0.6, 0.1], [0.8, 0.2]])
    found = mine(similarity, Rule(2, "absolute", "union", "all", 0.2))
    rows = zip(found.source, found.target, found.score, found.forward_rank, found.backward_rank, strict=True)
    assert [tuple(map(float, row)) for row in rows] == [
        (0, 0, 0.9, 1, 1),
        (2, 0, 0.8, 1, 2),
        (1, 0, 0.6, 1, 0),
        (0, 1, 0.5, 2, 1),
    ]
    assert not mine(np.zeros((0, 3)), Rule()).source.size

"""choose_communities() finds the same communities as sentence-transformers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from st_spark.clustering.greedy import choose_communities


def theirs(matrix: npt.NDArray[np.float64], threshold: float, least: int) -> list[list[int]]:
    """Return the communities of sentence-transformers: the central row, then the others in order."""
    from sentence_transformers.util import community_detection

    found = community_detection(matrix, threshold, min_community_size=least)
    return [[first, *sorted(others)] for first, *others in found]


def ours(
    matrix: npt.NDArray[np.float64], threshold: float, least: int, weights: Sequence[int] | None = None
) -> list[list[int]]:
    """Return the communities of our function, from all pairs."""
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    left, right = (each.astype(np.int32) for each in np.nonzero(np.triu(unit @ unit.T >= threshold, 1)))
    turned = np.arange(len(left)) % 2 == 0  # a pair can come in any direction
    sides = np.where(turned, left, right), np.where(turned, right, left)
    sizes = np.ones(len(matrix), np.int32) if weights is None else np.array(weights, np.int32)
    found = choose_communities(sizes, *sides, least)
    members = [np.flatnonzero(found.cluster == number).tolist() for number in range(len(found.centres))]
    return [
        [int(centre), *(row for row in rows if row != centre)]
        for centre, rows in zip(found.centres, members, strict=True)
    ]


# Rows with 4 of 7 values have cosines of exactly 0, 1/4, 1/2, 3/4 and 1: sizes, and scores at the threshold, tie often.
ROW = st.lists(st.sampled_from(range(7)), min_size=4, max_size=4, unique=True)


@given(st.lists(ROW, min_size=1, max_size=40), st.sampled_from([0.25, 0.5, 0.75, 1.0]), st.integers(1, 6))
def test_communities_match_sentence_transformers_ties_included(
    rows: list[list[int]], threshold: float, least: int
) -> None:
    matrix = np.zeros((len(rows), 7))
    for number, places in enumerate(rows):
        matrix[number, places] = 1.0
    assert ours(matrix, threshold, least) == theirs(matrix, threshold, least)


def test_a_row_that_counts_for_several_equals_its_copies() -> None:
    random = np.random.default_rng(0)
    matrix, weights = random.normal(size=(60, 3)), random.integers(1, 4, 60)
    first = np.cumsum(weights) - weights
    expected = theirs(np.repeat(matrix, weights, axis=0), 0.9, 5)
    found = ours(matrix, 0.9, 5, weights.tolist())
    copies = [sorted(np.concatenate([first[row] + np.arange(weights[row]) for row in rows]).tolist()) for rows in found]
    assert copies == [sorted(rows) for rows in expected]
    assert [first[rows[0]] for rows in found] == [rows[0] for rows in expected]
    assert len(found) > 3

"""Vectors in few bits, and the bounds on them."""

import numpy as np
import pytest
import torch

from st_spark.join.balls import balls, gathered
from st_spark.join.codes import encoded
from st_spark.join.distinct import distinct
from st_spark.join.products import sides
from st_spark.join.vectors import SCORES, Matrix
from tests.join.oracle import scores
from tests.join.test_kernel import KINDS, vectors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32])
def test_codes_leave_out_no_more_than_they_say(kind: str, dtype: torch.dtype) -> None:
    rows = vectors(kind, 400, 33, 1)
    codes = encoded(rows, np.arange(400), np.ones(400), np.abs(rows).max(axis=1).astype(float), dtype)
    left_out = rows.astype(float) - codes.codes.double().numpy() * codes.scales[:, None]
    assert (np.linalg.norm(left_out, axis=1) <= codes.errors).all()
    assert (np.linalg.norm(rows.astype(float), axis=1) <= codes.lengths).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_products_of_codes_are_as_near_as_they_say(kind: str, score: str) -> None:
    """The promise that nothing can be missed stands on this."""
    left, right = vectors(kind, 100, 33, 2), vectors(kind, 5000, 33, 3)
    ready = sides(left, right, score, None, None)
    true = scores(left, right, score)[:, ready.right_order]
    for tile in ready.product.tiles(slice(0, 100), ready.product.spans()):
        stop = min(tile.start + tile.values.shape[1], 5000)
        near = tile.values[:, : stop - tile.start].double() * tile.units[:, None]
        off = np.abs(near.numpy() - true[:, tile.start : stop])
        assert (off <= tile.slack.double().numpy()[:, None]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
def test_balls_that_do_not_meet_hold_no_pair(kind: str, score: str) -> None:
    left, right = vectors(kind, 96, 8, 4), vectors(kind, 160, 8, 5)
    true = scores(left, right, score)
    if score == "cosine":
        left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right))
    orders = [gathered(side, right[::16], score) for side in (left, right)]
    ours, theirs = (
        balls(side, order, 16, np.ones(len(side))) for side, order in zip((left, right), orders, strict=True)
    )
    for threshold in np.quantile(true, [0.5, 0.9, 0.99]):
        found = (true[orders[0]][:, orders[1]] >= threshold).reshape(6, 16, 10, 16).any(axis=(1, 3))
        assert not (found & ~ours.may_meet(theirs, float(threshold), score)).any()


def test_tight_clusters_leave_most_pairs_of_balls_out() -> None:
    """Else the balls would be for nothing."""
    rng = np.random.default_rng(0)
    rows: Matrix = np.repeat(np.eye(16), 64, axis=0) + 0.01 * rng.standard_normal((1024, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = balls(rows, gathered(rows, rows[::64], "cosine"), 64, np.ones(1024))
    assert found.may_meet(found, 0.9, "cosine").sum() < 50


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_form_groups_in_the_order_of_their_first(dtype: type) -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], dtype=dtype)
    found = distinct(rows)
    assert found.firsts.tolist() == [0, 1, 3]
    assert [found.members[a:b].tolist() for a, b in zip(found.starts, found.starts[1:], strict=False)] == [
        [0, 2, 5],
        [1, 4],
        [3],
    ]
    which, members = found.expanded(np.array([2, 0, 0]), most=2)
    assert which.tolist() == [0, 1, 1, 2, 2]
    assert members.tolist() == [3, 0, 2, 0, 2]


def test_rows_with_one_hash_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash only says where to look."""
    monkeypatch.setattr("st_spark.join.distinct._hashes", lambda matrix: np.zeros(len(matrix), dtype=np.uint64))
    rows = np.array([[1.0], [2.0], [1.0], [2.0]])
    found = distinct(rows)
    members = [sorted(rows[found.members[a:b], 0]) for a, b in zip(found.starts, found.starts[1:], strict=False)]
    assert all(len(set(group)) == 1 for group in members)
    assert sum(map(len, members)) == 4

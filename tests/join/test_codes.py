"""Vectors in few bits, and the bounds on them."""

import numpy as np
import pytest
import torch

from st_spark.join.balls import balls, gathered
from st_spark.join.codes import LEVELS, RUN, Plan, encoded
from st_spark.join.distinct import distinct
from st_spark.join.products import sides
from st_spark.join.vectors import SCORES, Matrix
from tests.join.oracle import scores
from tests.join.test_kernel import KINDS, vectors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shared", [False, True])
def test_codes_leave_out_no_more_than_they_say(kind: str, dtype: torch.dtype, shared: bool) -> None:
    rows = vectors(kind, 400, 33, 1)
    codes, order = encoded(rows, Plan(np.arange(400)[::-1].copy(), np.ones(400), shared), dtype)
    true = rows[order].astype(float)
    left_out = true - codes.codes.double().numpy() * codes.scales[:, None]
    assert (np.linalg.norm(left_out, axis=1) <= codes.errors).all()
    assert (np.linalg.norm(true, axis=1) <= codes.lengths).all()
    assert sorted(order) == list(range(400))
    for level, tail in enumerate(codes.tails, 1):
        assert (np.linalg.norm(true[:, codes.width(level) :], axis=1) <= tail).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", ["cosine", "dot"])
@pytest.mark.parametrize("level", range(len(LEVELS) + 1))
def test_products_of_codes_are_as_near_as_they_say(kind: str, score: str, level: int) -> None:
    """The promise that nothing can be missed stands on this: whole products, and those of the first values."""
    left, right = vectors(kind, 100, 33, 2), vectors(kind, 5000, 33, 3)
    ready = sides(left, right, score)
    true = scores(left, right, score)[ready.left_order][:, ready.right_order]
    for tile in ready.product.tiles(slice(0, 100), ready.product.spans(), level):
        columns = slice(tile.start, min(tile.start + tile.values.shape[1], 5000))
        near = tile.values.double() * tile.scale[:, None] * tile.scales.repeat_interleave(RUN)
        off = true[:, columns] - near.numpy()[:, : columns.stop - columns.start]
        room = tile.slack(RUN).double().repeat_interleave(RUN, 1).numpy()[:, : off.shape[1]]
        assert (off <= room).all()
        assert level or (-off <= room).all()


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_single_pairs_are_as_near_as_they_say(kind: str) -> None:
    left, right = vectors(kind, 50, 33, 2), vectors(kind, 5000, 33, 3)
    ready = sides(left, right, "dot")
    rows, columns = np.random.default_rng(0).integers(0, 50, 900), np.random.default_rng(1).integers(0, 5000, 900)
    near, off = ready.product.pairs(rows, columns)
    true = scores(left, right, "dot")[ready.left_order[rows], ready.right_order[columns]]
    assert (np.abs(near - true) <= off).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
def test_balls_that_do_not_meet_hold_no_pair(kind: str, score: str) -> None:
    left, right = vectors(kind, 96, 8, 4), vectors(kind, 160, 8, 5)
    true = scores(left, right, score)
    if score == "cosine":
        left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right))
    orders = [gathered(side, torch.from_numpy(right[::16]).float()).order for side in (left, right)]
    ours, theirs = (
        balls(side, order, 16, np.ones(len(side))) for side, order in zip((left, right), orders, strict=True)
    )
    for threshold in np.quantile(true, [0.5, 0.9, 0.99]):
        found = (true[orders[0]][:, orders[1]] >= threshold).reshape(6, 16, 10, 16).any(axis=(1, 3))
        assert not (found & ~ours.may_meet(theirs, float(threshold), score)).any()


def test_tight_clusters_leave_most_pairs_of_balls_out() -> None:
    """Else the balls would be for nothing."""
    rng = np.random.default_rng(0)
    rows = np.eye(16, dtype=np.float64)[np.arange(1024) // 64]
    rows += 0.01 * rng.standard_normal((1024, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = gathered(rows, torch.from_numpy(rows[::64]).float()).order
    found = balls(rows, order, 64, np.ones(1024))
    assert found.may_meet(found, 0.9, "cosine").sum() < 50


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_form_groups_in_the_order_of_their_first(dtype: type) -> None:
    rows: Matrix = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], dtype=dtype)
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

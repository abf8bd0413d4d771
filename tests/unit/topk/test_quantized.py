"""Vectors in few bits, and the bounds on them."""

import numpy as np
import pytest
import torch

from st_spark.choices import SCORES
from st_spark.topk.balls import balls, gathered
from st_spark.topk.products import blocks_of, sides, values
from st_spark.topk.quantized import Plan, encoded, pieces
from st_spark.topk.scores import Matrix, Places, Rescorer, Scores, lengths, leveled
from st_spark.topk.tile import Tile
from st_spark.topk.tiles import Tiles
from st_spark.topk.unique_rows import distinct
from tests.unit.topk.oracle import scores
from tests.unit.topk.test_search import KINDS, any_format, vectors

__all__ = ["any_format"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("block", [1, 64])
@pytest.mark.parametrize("around", [False, True])
def test_codes_leave_out_no_more_than_they_say(kind: str, dtype: torch.dtype, block: int, around: bool) -> None:
    rows = vectors(kind, 400, 33, 1)
    middle = rows.mean(axis=0, dtype=np.float64) if around else None
    order = np.arange(400)[::-1].copy()
    true = rows[order].astype(float) - (0.0 if middle is None else middle)
    tops = np.repeat([np.abs(true[i : i + block]).max() for i in range(0, 400, block)], block)[:400]
    codes = encoded(rows, Plan(order, np.ones(400), middle, None if block == 1 else tops), dtype)
    coded = codes.codes.double().numpy() * codes.scales[:, None]
    assert (np.linalg.norm(true - coded, axis=1) <= codes.errors).all()
    assert (np.linalg.norm(true - true.astype(np.float32), axis=1) <= codes.rounding).all()
    assert (np.linalg.norm(true, axis=1) <= codes.lengths).all()
    assert all(len(set(codes.scales[i : i + block])) == 1 for i in range(0, 400, block))


@pytest.mark.usefixtures("any_format")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("sharp", [False, True])
def test_values_of_tiles_are_as_near_as_they_say(kind: str, score: str, sharp: bool) -> None:
    """The promise that nothing can be missed stands on this."""
    tiles, true = tiles_of(kind, score, (blocks_of(70, 64), blocks_of(300, 128)))
    for rows in pieces(70, 64):
        for columns in pieces(300, 128):
            tile = (tiles.sharp if sharp else tiles.tile)(rows, columns)
            wanted = true[rows, columns]
            assert_near(tile, wanted)
            assert len(set(tile.unit)) == 1


@pytest.mark.usefixtures("any_format")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("sharp", [False, True])
def test_so_are_those_of_rows_from_anywhere_that_share_no_scale(kind: str, score: str, sharp: bool) -> None:
    each, starts = np.arange(70), np.array([0, 7, 130, 131, 290])
    tiles, true = tiles_of(kind, score, (each, starts), (each, np.random.default_rng(0).permutation(300)))
    for rows in np.split(np.random.default_rng(1).permutation(70), [1, 40]):
        for start, stop in zip(starts, [*starts[1:], 300], strict=True):
            columns = slice(int(start), min(int(start) + 128, int(stop)))
            assert_near((tiles.sharp if sharp else tiles.tile)(rows, columns), true[rows, columns])


def tiles_of(
    kind: str, score: str, blocks: tuple[Places, Places], orders: tuple[Places, Places] | None = None
) -> tuple[Tiles, Scores]:
    """Tiles of 70 rows and 300 columns, and the true values, in their order."""
    left, right, _ = leveled(vectors(kind, 70, 33, 2), vectors(kind, 300, 33, 3), score)
    ready = sides(left, right, score, blocks, orders)
    true = values(scores(left, right, score), score)[ready.left.plan.order][:, ready.right.plan.order]
    return Tiles(ready, (64, 128)), true


def assert_near(tile: Tile, wanted: Scores) -> None:
    near = tile.values.double().numpy()[: wanted.shape[0], : wanted.shape[1]] * tile.unit[:, None]
    assert (np.abs(near - wanted) <= tile.row_off[:, None]).all()
    assert (np.abs(near - wanted) <= tile.column_off).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_look_at_two_vectors_is_as_near_as_it_says(kind: str, score: str, dtype: type) -> None:
    left, right, _ = leveled(vectors(kind, 50, 33, 2).astype(dtype), vectors(kind, 500, 33, 3).astype(dtype), score)
    rows, columns = np.random.default_rng(0).integers(0, 50, 900), np.random.default_rng(1).integers(0, 500, 900)
    near, off = Rescorer(left, right, score).about(rows, columns)
    true = values(scores(left, right, score), score)[rows, columns]
    assert (np.abs(near - true) <= off).all()
    assert (off <= 1e-3 * np.abs(left).max() * np.abs(right).max() * 33 + 1e-4).all()


def test_what_float32_cannot_hold_is_anything() -> None:
    rows = np.array([[1e30, 1.0]], np.float32)
    near, off = Rescorer(rows, rows, "dot").about(np.zeros(1, int), np.zeros(1, int))
    assert near.tolist() == [0.0]
    assert off.tolist() == [np.inf]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
def test_balls_that_do_not_meet_hold_no_pair(kind: str, score: str) -> None:
    left, right = vectors(kind, 96, 8, 4), vectors(kind, 160, 8, 5)
    true = scores(left, right, score)
    if score == "cosine":
        left, right = (x / lengths(x)[:, None] for x in (left, right))
    orders = [gathered(side, torch.from_numpy(right[::16]).float()) for side in (left, right)]
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
    order = gathered(rows, torch.from_numpy(rows[::64]).float())
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
    monkeypatch.setattr("st_spark.topk.unique_rows._hashes", lambda matrix: np.zeros(len(matrix), dtype=np.uint64))
    rows = np.array([[1.0], [2.0], [1.0], [2.0]])
    found = distinct(rows)
    members = [sorted(rows[found.members[a:b], 0]) for a, b in zip(found.starts, found.starts[1:], strict=False)]
    assert all(len(set(group)) == 1 for group in members)
    assert sum(map(len, members)) == 4

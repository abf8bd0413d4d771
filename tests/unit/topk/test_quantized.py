"""The error bounds: no search may miss a pair, and all of it rests on these."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from st_spark.choices import SCORES
from st_spark.topk.centered import CenteredRows, center_both
from st_spark.topk.quantized import quantize, quantize_both
from st_spark.topk.scores import Places, Rescorer, Scores, chunks, rescaled, to_scores, to_values
from st_spark.topk.tiles import Tile, Tiles
from tests.unit.topk.oracle import FORMATS, KINDS, scores, vectors


@pytest.mark.parametrize("kind", KINDS)
def test_codes_leave_out_no_more_than_the_bound(kind: str) -> None:
    rows = vectors(kind, 400, 33, 1)
    order = np.arange(400)[::-1].copy()
    for dtype in (getattr(torch, form) for form in FORMATS):
        for size in (1, 64):
            for mean in (None, rows.mean(axis=0, dtype=np.float64)):
                true = rows[order].astype(float) - (0.0 if mean is None else mean)
                blocks = None if size == 1 else np.arange(0, 400, size)
                found = quantize(
                    CenteredRows(rows, np.ones(400), mean, np.zeros(400)), dtype, order=order, blocks=blocks
                )
                stored = found.codes.double().numpy() * found.scales[:, None]
                assert (np.linalg.norm(true - stored, axis=1) <= found.error_bound).all()
                assert (np.linalg.norm(true - true.astype(np.float32), axis=1) <= found.float32_error).all()
                assert (np.linalg.norm(true, axis=1) <= found.norms).all()
                assert all(len(set(found.scales[i : i + size])) == 1 for i in range(0, 400, size))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
def test_values_of_tiles_are_within_their_bounds(kind: str, score: str) -> None:
    """In every format, quantised and float32, for rows that share a scale and for rows that do not."""
    left, right, _ = rescaled(vectors(kind, 70, 33, 2), vectors(kind, 300, 33, 3), score)
    true = to_values(scores(left, right, score), score)
    for dtype in (getattr(torch, form) for form in FORMATS):
        for tiles, rows, columns in every_tile(left, right, score, dtype):
            wanted = true[tiles.left.order[rows]][:, tiles.right.order[columns]]
            for tile in (tiles.quantized(rows, columns), tiles.float32(rows, columns)):
                assert_near(tile, wanted)


def every_tile(
    left: np.ndarray, right: np.ndarray, score: str, dtype: torch.dtype
) -> Iterator[tuple[Tiles, slice | Places, slice]]:
    """Yield all tiles of a full scan, of inverted lists."""
    blocks = np.arange(0, 70, 64), np.arange(0, 300, 128)
    scan = Tiles(*quantize_both(*center_both(left, right, score), dtype, blocks), row_numbers=np.arange(70))
    for rows in chunks(70, 64):
        yield from ((scan, rows, columns) for columns in chunks(300, 128))
    starts = np.array([0, 7, 130, 131, 290])
    orders = np.arange(70), np.random.default_rng(0).permutation(300)
    for both in (False, True):
        sides = quantize_both(*center_both(left, right, score), dtype, (None, starts), orders)
        lists = Tiles(*sides, row_numbers=np.arange(70) if both else None)
        for some in np.split(np.random.default_rng(1).permutation(70), [1, 40]):
            for start, stop in zip(starts, [*starts[1:], 300], strict=True):
                yield lists, some, slice(int(start), min(int(start) + 128, int(stop)))


def assert_near(tile: Tile, wanted: Scores) -> None:
    values = tile.values.double().cpu().numpy() * tile.unit[:, None]
    assert (np.abs(values - wanted) <= tile.errors[0][:, None]).all()
    assert len(tile.errors) == 1 or (np.abs(values - wanted) <= tile.errors[1]).all()
    assert len(tile.errors) == 1 or len(set(tile.unit)) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
def test_rescored_values_are_those_of_float64(kind: str, score: str) -> None:
    for dtype in (np.float32, np.float64):
        sides = vectors(kind, 50, 33, 2).astype(dtype), vectors(kind, 500, 33, 3).astype(dtype)
        left, right, unit = rescaled(*sides, score)
        rows, columns = np.random.default_rng(0).integers(0, 50, 900), np.random.default_rng(1).integers(0, 500, 900)
        found = to_scores(Rescorer(left, right, score)(rows, columns), score) / unit
        assert (found == scores(*sides, score)[rows, columns]).all()

"""Leading directions: upper bounds of products, and when they are used."""

import numpy as np
import pytest
import torch

from st_spark.choices import SCORES
from st_spark.topk.centered import center_both
from st_spark.topk.leading import along, leading_directions, principal_directions
from st_spark.topk.quantized import quantize_both
from st_spark.topk.scores import Matrix, Scores, chunks, rescaled, to_values
from st_spark.topk.settings import Settings
from st_spark.topk.tiles import Tiles
from tests.unit.topk.oracle import KINDS, scores, vectors

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU multiplies whole vectors")

ALWAYS = Settings(dtype=torch.float32, min_pairs=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("count", [1, 12, 32])
def test_no_value_is_above_the_bound_of_its_tile(kind: str, score: str, count: int) -> None:
    left, right, _ = rescaled(vectors(kind, 70, 33, 2), vectors(kind, 300, 33, 3), score)
    true = to_values(scores(left, right, score), score)
    sides = center_both(left, right, score)
    directions = leading_directions(*sides, np.zeros(70), Settings(dtype=torch.float32, directions=count))
    tiles = Tiles(*quantize_both(*sides, torch.float32, (None, None), directions=directions))
    for rows in chunks(70, 64):
        for columns in chunks(300, 128):
            tile = tiles.quantized(rows, columns)
            assert tile.upper
            upper = tile.values.double().numpy() + tile.errors[0][:, None]
            assert (true[tiles.left.order[rows]][:, tiles.right.order[columns]] <= upper).all()


def test_parts_and_rest_have_the_length_of_the_row() -> None:
    x = torch.from_numpy(vectors("normal", 50, 20, 1))
    for count in (1, 7, 19):
        stored = along(principal_directions(x, x)[:, :count], x)
        assert stored.shape == (50, count + 1)
        assert torch.allclose(stored.norm(dim=1), x.norm(dim=1), rtol=1e-5)


def test_fewer_directions_serve_higher_thresholds() -> None:
    left, right = decaying(400, 1), decaying(3000, 2)
    counts = [used(left, right, np.full(400, threshold)) for threshold in (0.95, 0.8, 0.6)]
    assert 0 < counts[0] < counts[1] < counts[2] < 64


def test_directions_that_hold_no_more_than_others_are_not_used() -> None:
    """One of 3,000 pairs reaches this threshold, so only the loose bound speaks against directions."""
    assert used(vectors("normal", 400, 128, 1), vectors("normal", 3000, 128, 2), np.full(400, 0.3)) == 0


def test_searches_without_a_threshold_multiply_whole_vectors() -> None:
    assert used(decaying(400, 1), decaying(3000, 2), np.full(400, -np.inf)) == 0


def test_few_pairs_and_int8_need_no_directions() -> None:
    sides = center_both(decaying(400, 1), decaying(3000, 2), "cosine")
    wanted = np.full(400, 0.9)
    assert leading_directions(*sides, wanted, Settings(dtype=torch.float32)) is None
    assert leading_directions(*sides, wanted, Settings(dtype=torch.int8, min_pairs=1)) is None


def decaying(count: int, seed: int) -> Matrix:
    """Return vectors of 128 values that are long along few directions, as embeddings are."""
    return vectors("normal", count, 128, seed) * np.exp(-np.arange(128, dtype=np.float32) / 30)


def used(left: Matrix, right: Matrix, thresholds: Scores) -> int:
    """Return the number of directions that a search uses."""
    directions = leading_directions(*center_both(left, right, "cosine"), thresholds, ALWAYS)
    return 0 if directions is None else directions.shape[1]

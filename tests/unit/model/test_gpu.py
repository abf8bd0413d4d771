"""Vectors that a GPU computes, against those of a CPU, for community models of more than 50 families."""

from pathlib import Path

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from tests.support import community_checkpoints

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)
pytestmark = pytest.mark.slow
# Of many lengths, and several of each.
TEXTS = [
    "a cat",
    "!",
    *["the sun and the moon " * count for count in range(1, 20)],
    "dog " * 7,
    "cat " * 7,
    "river " * 80,
]


@pytest.mark.parametrize("name", community_checkpoints.NAMES)
def test_a_gpu_computes_the_vectors_of_a_cpu(tmp_path: Path, name: str) -> None:
    """In float32, and with a cosine of 0.999 in the format that st-spark chooses."""
    folder = community_checkpoints.write(name, tmp_path / "model")
    expected = SentenceTransformer(folder, device="cpu", dtype="float32").encode(TEXTS)
    exact = SentenceTransformer(folder, device="cuda", dtype="float32").encode(TEXTS)
    assert np.abs(exact - expected).max() < 1e-3 * max(np.abs(expected).max(), 1), np.abs(exact - expected).max()
    found = SentenceTransformer(folder, device="cuda").encode(TEXTS)
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999

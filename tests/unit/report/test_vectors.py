"""The token lengths and the map of an embedded table."""

from pathlib import Path

import numpy as np
import pytest

from st_spark.model.encoder import SentenceTransformer
from st_spark.report import vectors
from st_spark.report.vectors import Sample
from st_spark.specs.row_jobs import EmbedJob

TEXTS = ["the cat", "the cat sat on the mat", "cat " * 100, "dog " * 2000]


@pytest.mark.parametrize(("asked", "limit"), [(None, 64), (16, 16)])
def test_lengths_are_counted_beyond_the_limit(tiny_model: Path, asked: int | None, limit: int) -> None:
    job = EmbedJob(input="i", output="o", text_column="t", model=str(tiny_model), max_seq_length=asked)
    lengths, found = vectors.token_lengths(TEXTS, job, "")
    model = SentenceTransformer(str(tiny_model))
    model.max_seq_length = limit
    assert found == limit
    assert np.minimum(lengths, limit).tolist() == [model.embed([text]).n_tokens[0] for text in TEXTS]
    assert lengths.tolist()[2:] == [min(102, 4 * limit), 4 * limit]
    prompted, _ = vectors.token_lengths(TEXTS[:1], job, "the mat ")
    assert prompted[0] == lengths[0] + 2


def test_the_axes_are_principal_components() -> None:
    random = np.random.default_rng(0)
    line = random.normal(size=(50, 1)) * 10 @ np.array([[3.0, 4.0, 0.0]]) / 5 + 7
    points, share = vectors.project(line + random.normal(size=(50, 3)) * 0.01)
    assert np.abs(points[:, 0]).max() > 100 * np.abs(points[:, 1]).max()
    assert share > 0.999
    assert vectors.project(np.ones((5, 3)))[1] == 1.0
    assert vectors.project(np.arange(6.0)[:, None])[0].shape == (6, 2)


def test_groups_are_clusters_the_largest_first() -> None:
    random = np.random.default_rng(0)
    sizes = (100, 60, 40)
    rows = np.concatenate([random.normal(size=(n, 4)) * 0.01 + 5 * np.eye(4)[i] for i, n in enumerate(sizes)])
    found, centres = vectors.group(rows)
    assert (np.diff(np.bincount(found)) <= 0).all()
    assert found[centres].tolist() == list(range(len(centres)))
    truth = np.repeat([0, 1, 2], sizes)
    assert all(len(set(truth[found == number])) == 1 for number in range(len(centres)))


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.ones((5, 3)), "A map needs 20 vectors; the sample has 5."),
        (np.vstack([np.zeros((25, 3)), np.full((4, 3), np.nan)]), "the sample has 0"),
        (np.zeros((0, 3)), "the sample has 0"),
        (np.ones((30, 3)), "30 sampled vectors"),
        (np.eye(30), "text in the middle"),
    ],
)
def test_a_map_leaves_out_vectors_that_have_no_place(matrix: np.ndarray, says: str) -> None:
    sample = Sample([("title", f"text {i}") for i in range(len(matrix))], matrix, images=False)
    assert says in "".join(vectors.map_parts(sample, "cosine"))

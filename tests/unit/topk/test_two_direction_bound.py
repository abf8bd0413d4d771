"""Two directions bound products more closely than the triangle inequality of angles."""

import numpy as np
import pytest
import torch

from st_spark.topk.clusters import TwoDirectionBound


def test_two_directions_skip_a_cluster_that_angles_alone_would_search() -> None:
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.standard_normal((256, 2)))[0].T
    one, other = (around(each, random) for each in directions)
    wanted = 0.55
    centroids = torch.from_numpy(directions).float()
    bound = TwoDirectionBound(centroids)
    for each, own in ((one, 0), (other, 1)):
        bound.add(torch.from_numpy(each).float() @ centroids.t(), np.full(len(each), own), 1e-6)
    cosines = torch.from_numpy(one).float() @ centroids.t()
    below = (bound.upper(cosines, np.zeros(len(one), np.int64), 1e-6) < wanted).numpy()
    lowest = np.array([(each @ direction).min() for each, direction in zip((one, other), directions, strict=True)])
    assert (one @ other.T).max() < wanted
    assert below[:, 1].all()
    assert not below[:, 0].any()
    by_angle = cosines.double().numpy() * lowest + np.sqrt((1 - cosines.double().numpy() ** 2) * (1 - lowest**2))
    assert (by_angle[:, 1] > wanted).all()


@pytest.mark.parametrize("cosine", [0.0, 0.3, -0.6, 0.8])
@pytest.mark.parametrize("outside", [False, True])
def test_the_bound_of_a_pair_that_lies_on_it_is_its_cosine(cosine: float, outside: bool) -> None:
    """What a row and a column have beside the centroid is parallel: along the other centroid, or outside both."""
    centroid, along, beyond = np.eye(3)
    other = cosine * centroid + (1 - cosine**2) ** 0.5 * along
    beside = beyond if outside else along
    row = 0.4 * centroid + 0.84**0.5 * beside if outside else beside
    column = 0.8 * centroid + 0.6 * beside
    centroids = torch.from_numpy(np.stack([other, centroid])).float()
    bound = TwoDirectionBound(centroids)
    bound.add(torch.from_numpy(column[None]).float() @ centroids.t(), np.array([1]), 1e-6)
    upper = bound.upper(torch.from_numpy(row[None]).float() @ centroids.t(), np.array([0]), 1e-6)[0, 1]
    assert 0 <= float(upper) - row @ column < 0.005


def around(direction: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return rows of length 1 with a cosine of about 0.8 with a direction, [50, d]."""
    noise = random.standard_normal((50, len(direction)))
    rows = direction + 0.75 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

"""Two directions bound products more closely than the triangle inequality of angles."""

import numpy as np
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
    below = bound.below(cosines, np.zeros(len(one), np.int64), 1e-6, torch.full((len(one), 1), wanted)).numpy()
    lowest = np.array([(each @ direction).min() for each, direction in zip((one, other), directions, strict=True)])
    assert (one @ other.T).max() < wanted
    assert below[:, 1].all()
    assert not below[:, 0].any()
    by_angle = cosines.double().numpy() * lowest + np.sqrt((1 - cosines.double().numpy() ** 2) * (1 - lowest**2))
    assert (by_angle[:, 1] > wanted).all()


def around(direction: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return rows of length 1 with a cosine of about 0.8 with a direction, [50, d]."""
    noise = random.standard_normal((50, len(direction)))
    rows = direction + 0.75 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

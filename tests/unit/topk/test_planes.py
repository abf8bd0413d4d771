"""Planes through two directions bound products more closely than one direction does."""

import numpy as np
import torch

from st_spark.topk.planes import Planes


def test_rows_of_a_cluster_are_kept_from_columns_to_which_angles_alone_would_send_them() -> None:
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.standard_normal((256, 2)))[0].T
    one, other = (around(each, random) for each in directions)
    wanted = 0.55
    caps = torch.from_numpy(directions).float()
    planes = Planes(caps)
    for each, own in ((one, 0), (other, 1)):
        planes.reached(torch.from_numpy(each).float() @ caps.t(), np.full(len(each), own), 1e-6)
    with_all = torch.from_numpy(one).float() @ caps.t()
    cosine = torch.tensor([(each @ direction).min() for each, direction in zip((one, other), directions, strict=True)])
    sine = (1 - cosine**2).sqrt()
    over = planes.over(with_all, np.zeros(len(one), np.int64), 1e-6)
    below = over.below(torch.full_like(with_all, wanted), cosine.float(), sine.float()).numpy()
    assert (one @ other.T).max() < wanted
    assert below[:, 1].all()
    assert not below[:, 0].any()
    by_angle = with_all.double() * cosine + (1 - with_all.double() ** 2).sqrt() * sine
    assert (by_angle[:, 1] > wanted).all()


def around(direction: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[50, d] of length 1 with a cosine of about 0.8 with a direction."""
    noise = random.standard_normal((50, len(direction)))
    rows = direction + 0.75 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

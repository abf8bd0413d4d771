"""Directions that rows lie around: some of a sample that lie far from each other, moved to the means of their rows."""

import numpy as np
import torch

from st_spark.topk.kmeans import lloyd, nearest
from st_spark.topk.quantized import scaled
from st_spark.topk.scores import Matrix, Scores

# Rows of the sample for each direction, the most rows, and rounds of k-means.
_SAMPLE, _SAMPLED, _ROUNDS = 8, 16384, 1
# In how many steps the first directions are chosen.
_STEPS = 32


def pivots_of(rows: Matrix, factors: Scores, count: int) -> torch.Tensor:
    """Directions, those that are near to each other not far apart in the list.

    Args:
        rows: [n, d], not empty.
        factors: [n] what each is multiplied by before.
        count: How many at most.

    Returns:
        [count, d] float32 of length 1. The same for the same rows.
    """
    places = np.random.default_rng(0).permutation(len(rows))[: min(_SAMPLE * count, _SAMPLED)]
    sample = torch.nn.functional.normalize(scaled(rows, factors, places), dim=1)
    found = lloyd(sample, _apart(sample, count), _ROUNDS, "cosine")
    coarse = nearest(found, found[:: max(int(len(found) ** 0.5), 1)])
    return torch.nn.functional.normalize(found[torch.from_numpy(np.argsort(coarse, kind="stable"))], dim=1)


def _apart(sample: torch.Tensor, count: int) -> torch.Tensor:
    """Some of a sample: step by step a few of those that are farthest from all chosen before.

    Of random ones alone, a third of as many clusters would get none.
    """
    random = np.random.default_rng(1)
    step = max(count // _STEPS, 1)
    chosen = sample[:step]
    best = torch.full((len(sample),), -torch.inf)
    found = [chosen]
    for _ in range(min(count, len(sample)) // step - 1):
        best = torch.maximum(best, (sample @ chosen.t()).amax(dim=1))
        farthest = best.argsort()[: 4 * step].numpy()
        chosen = sample[torch.from_numpy(random.permutation(farthest)[:step])]
        found.append(chosen)
    return torch.cat(found)

"""Attention over packed tokens."""

import numpy as np
import pytest
import torch

from st_spark.model.backbones.attention import _BLOCKED_FROM, attend
from st_spark.model.inputs.batching import equal_groups


@pytest.mark.parametrize("biased", [False, True])
def test_attention_is_softmax_of_scores_times_values(biased: bool) -> None:
    """Compare with the formula in float64, for short texts and for one long enough for the blocked kernel."""
    lengths, heads, width = np.array([_BLOCKED_FROM + 3, 7, 7, 1]), 4, 32
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(int(lengths.sum()), 3 * width, generator=generator)
    bias = torch.randn(heads, 300, 300, generator=generator) if biased else None
    ours = attend(qkv, heads, equal_groups(lengths), bias)
    for start, stop in zip(np.cumsum(lengths) - lengths, np.cumsum(lengths), strict=True):
        q, k, v = (x.unflatten(1, (heads, -1)).transpose(0, 1) for x in qkv[start:stop].double().chunk(3, dim=1))
        scores = q @ k.transpose(1, 2) + (0 if bias is None else bias[:, : stop - start, : stop - start])
        expected = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
        assert (ours[start:stop] - expected).abs().max() < 1e-5

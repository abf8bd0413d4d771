"""The layers that the forward passes share."""

import pytest
import torch

from st_spark.model.backbones.layers import Linear, relative_buckets


@pytest.mark.slow
def test_relative_buckets_match_transformers() -> None:
    """For every offset that 512 tokens can have."""
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    offsets = torch.arange(-511, 512)
    theirs = MPNetEncoder.relative_position_bucket(offsets, num_buckets=32)
    assert torch.equal(relative_buckets(offsets, 32), theirs)


@pytest.mark.parametrize("activation", ["none", "gelu", "gelu_tanh", "relu", "silu"])
def test_the_prepacked_layer_equals_the_plain_one(activation: str) -> None:
    """With activation, with residual and with a gate."""
    generator = torch.Generator().manual_seed(1)
    weight, bias, x = (torch.randn(*shape, generator=generator) for shape in ((48, 32), (48,), (10, 32)))
    fused, plain = (Linear(weight, bias, torch.float32, torch.device("cpu")) for _ in range(2))
    plain.packed, plain.weight = False, weight
    residual = torch.randn(10, 48, generator=generator)
    assert torch.allclose(fused(x, activation), plain(x, activation), atol=1e-5)
    assert torch.allclose(fused.add(x, residual), plain.add(x, residual), atol=1e-5)
    assert torch.allclose(fused.times(x, residual), plain.times(x, residual), atol=1e-5)

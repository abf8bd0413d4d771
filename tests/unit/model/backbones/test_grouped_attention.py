"""Attention over packed tokens."""

import numpy as np
import pytest
import torch

from st_spark.model.backbones import grouped_attention
from st_spark.model.backbones.grouped_attention import attend
from st_spark.model.inputs.batching import equal_groups

HEADS, SIZE = 4, 8
# Lengths for the blocked kernel, for several strips with a window, short ones, and one token.
LENGTHS = np.array([300, 257, 200, 7, 7, 1])


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize(
    ("biased", "causal", "window"),
    [
        *[(True, False, None), (False, False, None), (False, True, None)],
        *[(False, causal, window) for causal in (False, True) for window in (0, 3, 64, 256, 1000)],
    ],
)
def test_attention_is_softmax_of_scores_times_values(
    kv_heads: int, biased: bool, causal: bool, window: int | None
) -> None:
    """Compare with the formula in float64."""
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(int(LENGTHS.sum()), (HEADS + 2 * kv_heads) * SIZE, generator=generator)
    bias = torch.randn(HEADS, 300, 300, generator=generator) if biased else None
    ours = attend(qkv, HEADS, equal_groups(LENGTHS), bias, kv_heads=kv_heads, causal=causal, window=window)
    for start, stop in zip(np.cumsum(LENGTHS) - LENGTHS, np.cumsum(LENGTHS), strict=True):
        n = int(stop - start)
        heads = qkv[start:stop].double().unflatten(1, (-1, SIZE)).transpose(0, 1)
        q, k, v = heads.split([HEADS, kv_heads, kv_heads])
        k, v = (x.repeat_interleave(HEADS // kv_heads, 0) for x in (k, v))
        scores = q @ k.transpose(1, 2) + (0 if bias is None else bias[:, :n, :n])
        ahead = torch.arange(n)[None, :] - torch.arange(n)[:, None]
        hidden = (ahead > (0 if causal else n)) | (ahead.abs() > (n if window is None else window))
        expected = (scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v).transpose(0, 1).flatten(1)
        assert (ours[start:stop] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize(("biased", "causal"), [(True, False), (False, False), (False, True)])
@pytest.mark.parametrize("heads_at_once", [0, 1, 3, 4, 9, 100])
@pytest.mark.parametrize("texts", [1, 5])
def test_parts_of_the_scores_give_the_same_attention(
    kv_heads: int, biased: bool, causal: bool, heads_at_once: int, texts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some texts at a time, or some heads of a text."""
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(texts * 20, (HEADS + 2 * kv_heads) * SIZE, generator=generator)
    bias = torch.randn(HEADS, 20, 20, generator=generator) if biased else None
    groups = equal_groups(np.full(texts, 20))
    whole = attend(qkv, HEADS, groups, bias, kv_heads=kv_heads, causal=causal)
    monkeypatch.setattr(grouped_attention, "_SCORES", heads_at_once * 20 * 20 * HEADS // kv_heads)
    parts = attend(qkv, HEADS, groups, bias, kv_heads=kv_heads, causal=causal)
    assert torch.allclose(parts, whole, atol=1e-6)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("length", [9, 60, 130, 300])
def test_a_text_alone_has_the_same_attention_as_among_others(length: int, biased: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(5 * length, 3 * HEADS * 32, generator=generator)
    bias = torch.randn(HEADS, length, length, generator=generator) if biased else None
    among = attend(qkv, HEADS, equal_groups(np.full(5, length)), bias)
    for text in range(5):
        own = slice(text * length, (text + 1) * length)
        alone = attend(qkv[own], HEADS, equal_groups(np.full(1, length)), bias)
        assert torch.allclose(alone, among[own], atol=1e-6)


def test_half_types_are_as_exact_for_long_texts_as_for_short_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    for length in (40, 300, 900, 1100):
        qkv = torch.randn(length, 3 * HEADS * 32, generator=generator)
        qkv[:, : HEADS * 32] /= 32**0.5
        groups = equal_groups(np.full(1, length))
        half = attend(qkv.bfloat16(), HEADS, groups).float()
        assert torch.nn.functional.cosine_similarity(half, attend(qkv, HEADS, groups)).min() > 0.9995

"""Attention of many texts at once; its arithmetic runs on a CPU, too."""

from itertools import product

import numpy as np
import pytest
import torch

from st_spark.model.backbones.gpu_attention import GpuAttention, has_flash
from st_spark.model.backbones.grouped_attention import attend
from st_spark.model.inputs.batching import equal_groups

CPU = torch.device("cpu")
HEADS, SIZE = 4, 8
LENGTHS = {
    "many lengths": np.array([90, 89, 80, 80, 66, 65, 40, 31, 30, 9, 8, 8, 7, 1, 0]),
    "one length": np.array([16, 16, 16]),
    "a long text": np.array([700, 20, 20]),
    "the shortest first": np.array([3, 9, 9, 40]),
    "no tokens": np.array([0, 0]),
}
CASES = [
    *[(kv_heads, True, False, None) for kv_heads in (4, 2)],
    *[
        (kv_heads, False, causal, window)
        for kv_heads in (4, 1)
        for causal in (False, True)
        for window in (None, 0, 5, 64)
    ],
]


def compare(lengths: np.ndarray, case: tuple[int, bool, bool, int | None], device: torch.device, dtype: str) -> float:
    """Return the largest difference to the attention by groups, on a CPU in float32."""
    kv_heads, biased, causal, window = case
    generator = torch.Generator().manual_seed(0)
    groups, kind = equal_groups(lengths), getattr(torch, dtype)
    qkv = torch.randn(int(lengths.sum()), (HEADS + 2 * kv_heads) * SIZE, generator=generator).to(kind)
    bias = torch.randn(HEADS, 701, 701, generator=generator).to(kind) if biased else None
    expected = attend(
        qkv.float(),
        HEADS,
        groups,
        None if bias is None else bias.float(),
        kv_heads=kv_heads,
        causal=causal,
        window=window,
    )
    mix = GpuAttention(groups, device, None if bias is None else bias.to(device))
    for _ in range(2):  # the second layer uses the plan of the first
        found = mix(qkv.to(device), HEADS, kv_heads=kv_heads, causal=causal, window=window)
    assert found.shape == expected.shape
    return float((found.cpu().float() - expected).abs().max()) if len(found) else 0.0


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_padded_texts_have_the_attention_of_each_alone(
    lengths: np.ndarray, case: tuple[int, bool, bool, int | None]
) -> None:
    """Compare with the attention by groups."""
    assert compare(lengths, case, CPU, "float32") < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("dtype", "limit"), [("bfloat16", 0.05), ("float16", 0.01), ("float32", 0.005)])
def test_a_gpu_computes_the_attention_of_a_cpu(dtype: str, limit: float) -> None:
    """Compare with the attention by groups, on a CPU in float32."""
    for lengths, case in product(LENGTHS.values(), CASES):
        assert compare(lengths, case, torch.device("cuda"), dtype) < limit, (lengths, case)


def test_a_cpu_has_no_flash_attention() -> None:
    """It is an operator of CUDA."""
    assert not has_flash(torch.bfloat16, 32, CPU)

"""Choosing the number format of a device."""

import pytest
import torch

from st_spark.errors import InputError
from st_spark.hardware import cpu_flags
from st_spark.model import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx512f", "avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16"}, torch.bfloat16),
        ({"avx2", "avx512_vnni"}, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_if_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: torch.dtype
) -> None:
    """Other processors emulate bfloat16, slower than float32."""
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    assert precision.choose("auto", CPU) is expected


def test_flags_of_this_processor_are_read() -> None:
    """Every x86-64 processor has sse2, every Arm processor asimd."""
    assert not cpu_flags().isdisjoint({"sse2", "asimd"})


def test_given_format_is_used_as_it_is() -> None:
    """Even if it is slow."""
    assert precision.choose("float32", CPU) is torch.float32
    assert precision.choose("bfloat16", CPU) is torch.bfloat16


@pytest.mark.parametrize("dtype", ["float64", "int4", "BF16", ""])
def test_unknown_format_is_rejected_with_the_known_ones(dtype: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(InputError, match="Fix: choose one of auto, float32"):
        precision.choose(dtype, CPU)


def test_float16_is_rejected_on_a_cpu() -> None:
    """It is 20 times slower than float32 there."""
    with pytest.raises(InputError, match="float16"):
        precision.choose("float16", CPU)

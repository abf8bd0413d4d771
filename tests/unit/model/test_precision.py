"""Choosing the number format of a device."""

import pytest
import torch

from st_spark.errors import InputError
from st_spark.model import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"float32": 170.0, "bfloat16": 400.0}, torch.bfloat16),
        ({"float32": 360.0, "bfloat16": 195.0}, torch.float32),
        ({"float32": 100.0, "bfloat16": 110.0}, torch.float32),
        ({"float32": 100.0}, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_if_it_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, rates: dict[str, float], expected: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "gemm_rates", lambda: rates)
    assert precision.choose("auto", CPU) is expected


def test_a_variable_replaces_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(precision.VARIABLE, "bfloat16")
    assert precision.choose("auto", CPU) is torch.bfloat16
    assert precision.choose("float32", CPU) is torch.float32
    monkeypatch.setenv(precision.VARIABLE, "bf16")
    with pytest.raises(InputError, match="ST_SPARK_DTYPE='bf16' is unknown"):
        precision.choose("auto", CPU)


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

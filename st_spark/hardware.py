"""Read the processor's features, and name the number format that a device multiplies fastest."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8")


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Return the processor's feature flags; empty if the system does not list them."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return frozenset()
    for line in info.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def fastest(device: "torch.device") -> "torch.dtype":
    """Return the number format in which a device multiplies vectors fastest: int8, bfloat16 or float32."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16
    return torch.float32 if cpu_flags().isdisjoint(_INT8) else torch.int8

"""Measure how fast the processor multiplies matrices in each number format, and choose the fastest format.

The flags of a processor do not tell: some with avx512_bf16 multiply bfloat16 half as fast as float32, others four times
as fast. So each host measures once, some 0.1 s, and keeps the figures in a file. All processes of the host read
that file, so they choose alike.
"""

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

# Rows, columns and inner dimension of the product: a layer of a small model, and some of its tokens.
_SHAPE = (128, 384, 384)
# Processor seconds for each format, and rounds in which the formats take turns: other programs then slow all of them.
_SECONDS, _ROUNDS = 0.03, 5
# A format must be this much faster than float32, which is the most exact.
_MARGIN = 1.3


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Return the processor's feature flags; empty if the system does not list them."""
    return frozenset((_cpu_info("flags") or _cpu_info("Features")).split())


def fastest(device: "torch.device") -> "torch.dtype":
    """Return the number format in which a device searches vectors fastest: int8 or float32."""
    import torch

    # A GPU multiplies bfloat16 faster, but then a CPU sorts out many near misses: an H200 searches 100,000 x 100,000
    # vectors in 3.3 s with bfloat16, and in 2.3 s with float32.
    if device.type == "cuda":
        return torch.float32
    return torch.int8 if faster(gemm_rates(), "int8") else torch.float32


def faster(rates: Mapping[str, float], name: str) -> bool:
    """Return whether a format is clearly faster than float32."""
    return rates.get(name, 0.0) > _MARGIN * rates["float32"]


@lru_cache(maxsize=1)
def gemm_rates() -> dict[str, float]:
    """Return the GFLOP/s of a product in float32, bfloat16 and int8 on one thread of the CPU.

    The host has measured them before, or measures now.
    """
    try:
        kept = _rates_file()
        if rates := _read(kept):
            return rates
        with FileLock(kept.with_suffix(".lock"), timeout=60):
            rates = _read(kept) or measure()  # another process may have measured meanwhile
            kept.write_text(json.dumps(rates), encoding="utf-8")
    except (OSError, Timeout):
        return measure()  # the next process measures again
    return rates


def measure() -> dict[str, float]:
    """Measure the GFLOP/s of each format: the best product of all rounds, by the processor time of one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        products = _products()
        best = dict.fromkeys(products, math.inf)
        for _ in range(_ROUNDS):
            for name, product in products.items():
                end = time.thread_time() + _SECONDS / _ROUNDS
                while (start := time.thread_time()) < end:
                    product()
                    best[name] = min(best[name], max(time.thread_time() - start, 1e-9))
    finally:
        torch.set_num_threads(threads)
    return {name: round(2 * math.prod(_SHAPE) / seconds / 1e9, 1) for name, seconds in best.items()}


def _read(kept: Path) -> dict[str, float] | None:
    """Return the rates in a file, or None if there is no such file or it is not ours."""
    try:
        if hasattr(os, "getuid") and kept.stat().st_uid != os.getuid():
            return None
        rates = {str(name): float(rate) for name, rate in json.loads(kept.read_text(encoding="utf-8")).items()}
        return rates if rates["float32"] > 0 and all(map(math.isfinite, rates.values())) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _products() -> "dict[str, Callable[[], object]]":
    """Return a function for each format that multiplies once, into a reused output. It has run once."""
    import torch

    rows, columns, inner = _SHAPE
    x, y = (torch.arange(n * inner).remainder_(251).sub_(125).view(n, inner) for n in (rows, columns))
    products: dict[str, Callable[[], object]] = {}
    for dtype in (torch.float32, torch.bfloat16, torch.int8):
        a, b, integer = x.to(dtype), y.to(dtype).t(), dtype == torch.int8
        out = torch.empty(rows, columns, dtype=torch.int32 if integer else dtype)
        multiply = torch._int_mm if integer else torch.mm

        def product(a: torch.Tensor = a, b: torch.Tensor = b, out: torch.Tensor = out, f: object = multiply) -> object:
            return f(a, b, out=out)  # type: ignore[operator]

        try:
            product()
        except RuntimeError:  # this torch has no such product on this processor
            continue
        products[str(dtype).removeprefix("torch.")] = product
    return products


def _rates_file() -> Path:
    """Return the file for this kind of processor and this torch."""
    import torch

    kind = [_cpu_info("model name"), *sorted(cpu_flags()), torch.__version__]
    user = os.getuid() if hasattr(os, "getuid") else ""
    name = f"st-spark-gemm-{user}-{hashlib.sha256(' '.join(kind).encode()).hexdigest()[:16]}.json"
    return Path(tempfile.gettempdir(), name)


def _cpu_info(wanted: str) -> str:
    """Return a value of the first processor in /proc/cpuinfo; empty if there is none."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == wanted:
            return value.strip()
    return ""

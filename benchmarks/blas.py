"""Find the fastest OpenBLAS kernels for faiss on this processor.

    python -m benchmarks.blas

The OpenBLAS inside faiss-cpu selects its kernels by the processor model. On a model that it does not know it can select
old, slow ones. OPENBLAS_CORETYPE selects others; OpenBLAS reads it when it is loaded, so each try is a process.
"""

import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np

VARIABLE = "OPENBLAS_CORETYPE"
# What VARIABLE may be: "" is unset.
CORETYPES = ("", "SKYLAKEX", "HASWELL", "ZEN")
_LEFT, _RIGHT, _WIDTH, _REPEATS = 4000, 8000, 384, 5


@cache
def fastest_coretype() -> str:
    """Measure faiss.knn with all CORETYPES, print the rates and return the best one."""
    rates = {coretype: _rate_in_a_process(coretype) for coretype in CORETYPES}
    best = max(rates, key=lambda coretype: rates[coretype])
    printed = ", ".join(f"{coretype or 'unset'} {rate:,.0f}" for coretype, rate in rates.items())
    print(f"faiss.knn, GFLOP/s by {VARIABLE}: {printed}. faiss runs with: {best or 'unset'}", flush=True)
    return best


def set_coretype(coretype: str) -> None:
    """Set VARIABLE in this process, before faiss is imported."""
    assert "faiss" not in sys.modules
    os.environ.pop(VARIABLE, None)
    if coretype:
        os.environ[VARIABLE] = coretype


def rate() -> float:
    """Return the best GFLOP/s of faiss.knn with two threads in this process."""
    import faiss

    faiss.omp_set_num_threads(2)
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((rows, _WIDTH), dtype=np.float32) for rows in (_LEFT, _RIGHT))
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        faiss.knn(left, right, 10, metric=faiss.METRIC_INNER_PRODUCT)
        seconds.append(time.perf_counter() - start)
    return 2 * _LEFT * _RIGHT * _WIDTH / min(seconds) / 1e9


def _rate_in_a_process(coretype: str) -> float:
    """Return 0 if the process crashes: the processor cannot run these kernels."""
    code = "from benchmarks import blas; import sys; blas.set_coretype(sys.argv[1]); print(blas.rate())"
    command = [sys.executable, "-c", code, coretype]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode > 0:
        sys.exit(done.stderr)
    return 0.0 if done.returncode else float(done.stdout.split()[-1])


if __name__ == "__main__":
    fastest_coretype()

"""The rate of matrix products on this machine: the ceiling of an encoder's rate."""

from collections.abc import Callable
from dataclasses import dataclass

# An up-projection of all-MiniLM-L6-v2 for a micro-batch: tokens, input width, output width.
_SHAPE = (2048, 384, 1536)
_REPEATS = 50


@dataclass(frozen=True)
class Gemm:
    """torch.mm with one reused output; torch._int_mm for int8.

    Args:
        dtype: Name of a torch dtype.
        device: Name of a torch device.
        threads: Threads of torch.
    """

    dtype: str
    device: str = "cpu"
    threads: int = 2

    flops = float(2 * _SHAPE[0] * _SHAPE[1] * _SHAPE[2] * _REPEATS)

    def __call__(self) -> Callable[[], object]:
        """Make the matrices; return the function that multiplies them."""
        import torch

        torch.set_num_threads(self.threads)
        dtype = getattr(torch, self.dtype)
        rows, inner, columns = _SHAPE
        a = torch.randn(rows, inner, device=self.device).to(dtype)
        b = torch.randn(columns, inner, device=self.device).to(dtype)
        integer = dtype == torch.int8
        out = torch.empty(rows, columns, dtype=torch.int32 if integer else dtype, device=self.device)
        multiply = torch._int_mm if integer else torch.mm

        def run() -> None:
            for _ in range(_REPEATS):
                multiply(a, b.t(), out=out)
            if self.device != "cpu":
                torch.cuda.synchronize()

        return run

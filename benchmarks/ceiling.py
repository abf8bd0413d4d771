"""The rate of this machine's matrix product: what an encoder could reach if it did nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

# One up-projection of all-MiniLM-L6-v2 over a micro-batch: tokens, width in, width out.
_SHAPE = (2048, 384, 1536)
_REPEATS = 50


@dataclass(frozen=True)
class Gemm:
    """torch.mm into one reused output.

    Args:
        dtype: torch's name of the number format.
        device: torch's name of the device.
        threads: Of torch.
    """

    dtype: str
    device: str = "cpu"
    threads: int = 2

    flops = float(2 * _SHAPE[0] * _SHAPE[1] * _SHAPE[2] * _REPEATS)

    def __call__(self) -> Callable[[], object]:
        """Prepares the matrices; returns what multiplies them."""
        import torch

        torch.set_num_threads(self.threads)
        dtype = getattr(torch, self.dtype)
        rows, inner, columns = _SHAPE
        a = torch.randn(rows, inner, device=self.device).to(dtype)
        b = torch.randn(columns, inner, device=self.device).to(dtype)
        out = torch.empty(rows, columns, dtype=dtype, device=self.device)

        def run() -> None:
            for _ in range(_REPEATS):
                torch.mm(a, b.t(), out=out)
            if self.device != "cpu":
                torch.cuda.synchronize()

        return run

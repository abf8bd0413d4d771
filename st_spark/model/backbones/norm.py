"""LayerNorm with given weights."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Norm:
    """LayerNorm over the last dimension."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[n, width] to [n, width]."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

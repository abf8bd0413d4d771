"""Layers that the forward passes share, and how their weights are read from a checkpoint."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.checkpoint.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Callable

# What oneDNN can fuse: (operation, algorithm) in its own names.
FUSED = {
    "none": ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
}
PLAIN: "dict[str, Callable[[torch.Tensor], torch.Tensor]]" = {
    "none": lambda x: x,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}
# transformers' names of the fused activations. A model with another one runs through transformers itself.
ACTIVATIONS = {
    "gelu": "gelu",
    "relu": "relu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
}


def check_heads(heads: object, width: int) -> None:
    """Raise ModelError unless the width of the weights can be cut into so many attention heads."""
    if type(heads) is not int or heads < 1 or width % heads:
        problem = f"config.json says {heads!r} attention heads, which the weights' width of {width} cannot have."
        raise ModelError(problem, "the files are of two models: copy or download all of them again.")


def check_width(said: object, width: int) -> None:
    """Raise ModelError unless the weights have the width that the config says."""
    if said != width:
        problem = f"config.json says a width of {said!r}, the weights have {width}."
        raise ModelError(problem, "the files are of two models: copy or download all of them again.")


class Linear:
    """A linear layer for inference, with the activation, the residual sum or the product with a gate fused.

    On a CPU oneDNN lays the weights out once instead of at every call, and does the rest while the tile is in cache:
    10-15% faster than torch.nn.functional.linear and separate passes (Zen 4, 2 cores).

    Args:
        weight: [out, in].
        bias: [out] or None.
        dtype: Number format of the computation.
        device: Where to compute.
        prepack: Whether to lay the weights out; if not, `weight` stays readable.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        dtype: torch.dtype,
        device: torch.device,
        *,
        prepack: bool = True,
    ) -> None:
        self.weight = weight.to(device=device, dtype=dtype)
        self.bias = None if bias is None else bias.to(device=device, dtype=dtype)
        self.packed = prepack and device.type == "cpu" and prepacks(dtype)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), None)

    def __call__(self, x: torch.Tensor, activation: str = "none") -> torch.Tensor:
        """Return activation(x W^T + b), [n, out], of x [n, in]; activation is a value of ACTIVATIONS or "none"."""
        if self.packed:
            operation, algorithm = FUSED[activation]
            out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, operation, [], algorithm)
            return out
        return PLAIN[activation](F.linear(x, self.weight, self.bias))

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b + residual, [n, out], of x [n, in]; the result has the number format of the residual."""
        if self.packed and x.dtype == residual.dtype:
            out: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
            return out
        return self(x).to(residual.dtype).add_(residual)

    def times(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Return (x W^T + b) * gate, [n, out], of x [n, in]."""
        if self.packed:
            out: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, gate, self.weight, self.bias, "mul")
            return out
        return self(x).mul_(gate)

    def without(self, inputs: torch.Tensor | None = None, outputs: torch.Tensor | None = None) -> "Linear":
        """Return a copy that is 0 for some inputs or outputs. The layer must not be packed."""
        weight, bias = self.weight.clone(), self.bias
        if inputs is not None:
            weight[:, inputs] = 0
        if outputs is not None:
            weight[outputs] = 0
            if bias is not None:
                bias = bias.index_fill(0, outputs, 0)
        return Linear(weight, bias, weight.dtype, weight.device, prepack=False)

    def __deepcopy__(self, _memo: object) -> "Linear":
        """Return the layer itself for a copy of its model: it never changes, and torch cannot copy such weights."""
        return self


def prepacks(dtype: torch.dtype) -> bool:
    """Return whether torch has oneDNN's prepacked linear for dtype; it is not part of torch's public API."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        weight = torch.ops.mkldnn._reorder_linear_weight(torch.zeros(16, 16, dtype=dtype), None)
        x = torch.zeros(2, 16, dtype=dtype)
        torch.ops.mkldnn._linear_pointwise(x, weight, None, "gelu", [], "none")
        torch.ops.mkldnn._linear_pointwise.binary(x, x, weight, None, "add")
        torch.ops.mkldnn._linear_pointwise.binary(x, x, weight, None, "mul")
    except (AttributeError, RuntimeError):
        return False
    return True


@dataclass(frozen=True)
class LayerNorm:
    """LayerNorm over the last dimension."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x [n, width]."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class RmsNorm:
    """Scales each token to mean square 1, then each feature by its weight."""

    weight: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x [n, width]."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class RelativeBias:
    """The learned bias of MPNet and T5 on attention scores, by the relative position of query and key.

    Args:
        table: [buckets, heads].
        dtype: Number format of the scores.
        device: Where to compute.
        max_distance: See relative_buckets.
    """

    def __init__(self, table: torch.Tensor, dtype: torch.dtype, device: torch.device, max_distance: int = 128) -> None:
        self._table, self._dtype, self._max_distance = table.to(device), dtype, max_distance
        self._largest = torch.empty(0, 0, 0)

    def __call__(self, length: int) -> torch.Tensor:
        """Return [heads, n, n] with n >= length; the upper left corner is the bias of a shorter text."""
        bias = self._largest  # read once: other threads may replace it
        if bias.shape[1] < length:
            offsets = torch.arange(length)[None, :] - torch.arange(length)[:, None]
            buckets = relative_buckets(offsets, self._table.shape[0], self._max_distance)
            bias = F.embedding(buckets.to(self._table.device), self._table)
            bias = bias.permute(2, 0, 1).to(self._dtype).contiguous()
            self._largest = bias
        return bias


def relative_buckets(offsets: torch.Tensor, buckets: int, max_distance: int = 128) -> torch.Tensor:
    """Return T5's bucket of each relative position: exact when near, logarithmic when far, in both directions.

    Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), section 2.1. MPNet does the same with 32 buckets.

    Args:
        offsets: Position of the key minus position of the query.
        buckets: Number of buckets for both directions together.
        max_distance: Larger distances share the last bucket.
    """
    half = buckets // 2
    exact = half // 2
    distance = offsets.abs()
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (half - exact)
    bucket = torch.where(distance < exact, distance, (exact + far.long()).clamp(max=half - 1))
    return bucket + (offsets > 0).long() * half


@dataclass(frozen=True)
class LayerLoader:
    """Reads the layers of one part of a checkpoint. Every method raises ModelError for a missing tensor.

    Attributes:
        weights: All tensors of the checkpoint.
        prefix: Start of the names of this part's tensors.
        dtype: Number format of the computation.
        device: Where to compute.
        prepack: See Linear.
    """

    weights: Weights
    prefix: str
    dtype: torch.dtype
    device: torch.device
    prepack: bool = True

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Return a tensor on the device, in its stored number format unless dtype is given."""
        return self.weights[self.prefix + name].to(self.device, dtype)

    def linear(
        self,
        *names: str,
        scale: float = 1.0,
        rows: int | None = None,
        bias: bool = True,
        dtype: torch.dtype | None = None,
    ) -> Linear:
        """Return the named projections as one layer, their outputs side by side.

        The first `rows` outputs are multiplied by scale; by default the outputs of the first projection.
        """
        weight = self._joined([f"{name}.weight" for name in names], scale, rows)
        biases = self._joined([f"{name}.bias" for name in names], scale, rows) if bias else None
        return Linear(weight, biases, dtype or self.dtype, self.device, prepack=self.prepack)

    def halves(self, name: str, bias: bool = False) -> tuple[Linear, Linear]:
        """Return a projection that is stored as one as two layers: the first half of its outputs, and the second."""
        weights = self.tensor(f"{name}.weight").chunk(2)
        biases = self.tensor(f"{name}.bias").chunk(2) if bias else (None, None)
        first, second = (
            Linear(weight, part, self.dtype, self.device) for weight, part in zip(weights, biases, strict=True)
        )
        return first, second

    def norm(self, name: str, eps: float, dtype: torch.dtype = torch.float32, bias: bool = True) -> LayerNorm:
        """Return a LayerNorm; checkpoints that were converted from TensorFlow call its weights gamma and beta."""
        parts = ("gamma", "beta") if f"{self.prefix}{name}.gamma" in self.weights else ("weight", "bias")
        weight = self.tensor(f"{name}.{parts[0]}", dtype)
        return LayerNorm(weight, self.tensor(f"{name}.{parts[1]}", dtype) if bias else None, eps)

    def rms_norm(self, name: str, eps: float, offset: float = 0.0) -> RmsNorm:
        """Return an RMS norm in float32; `offset` is added to its weights."""
        return RmsNorm(self.tensor(f"{name}.weight", torch.float32) + offset, eps)

    def _joined(self, names: list[str], scale: float, rows: int | None) -> torch.Tensor:
        first, *rest = (self.tensor(name) for name in names)
        joined = torch.cat([first, *rest]) if rest else first  # a tensor alone stays mapped from its file
        if scale == 1:
            return joined
        factors = torch.ones(len(joined), device=joined.device)
        factors[: len(first) if rows is None else rows] = scale
        return joined.float() * factors.view(-1, *[1] * (joined.dim() - 1))

"""BERT layers that multiply in int8, for CPUs with VNNI or AMX.

A weight has 8 bits and a scale for each output. An activation has 8 bits, and one scale and zero point for each
product. These are measured once, on texts that are the same everywhere: so all workers have the same ranges, and the
vector of a text does not depend on the other texts. Two methods keep the error small:

- A channel with large values is divided by a factor, and its weights are multiplied by it (SmoothQuant, Xiao et al.
  2022, https://arxiv.org/abs/2211.10438).
- In the feed-forward a few channels have values ten times as large as all others. These are computed in float32, as in
  LLM.int8() (Dettmers et al. 2022, https://arxiv.org/abs/2208.07339).

The products are oneDNN's, through operators of torch that are not part of its public API; see is_available().
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from st_spark.hardware import cpu_flags
from st_spark.model.backbones.layers import FUSED, PLAIN, Linear

if TYPE_CHECKING:
    from st_spark.model.backbones.bert import Layer

    Mix = Callable[[torch.Tensor], torch.Tensor]

_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}
# How much of the difference between channels moves from the activations to the weights.
_SMOOTHING = 0.5
# Channels of the feed-forward that are computed in float32.
_OUTLIERS = 8
_SMALL = 1e-8


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Return whether this processor has fast int8 products, and this torch the operators for them."""
    if not cpu_flags() & _FLAGS or not torch.backends.mkldnn.is_available():
        return False
    try:
        weight, seen = torch.eye(16), Range()
        seen.look(weight)
        layer = Int8Linear(Linear(weight, torch.zeros(16), torch.float32, torch.device("cpu"), prepack=False), seen)
        codes = layer.quantise(weight)
        for activation in FUSED:
            layer.codes(codes, activation, layer)
        close = torch.allclose(layer.add(codes, weight), 2 * weight, atol=0.02)
    except (AttributeError, RuntimeError):
        return False
    return close


class Range:
    """The smallest and the largest value of each channel."""

    def __init__(self) -> None:
        self.low, self.high = torch.tensor(torch.inf), torch.tensor(-torch.inf)

    def look(self, x: torch.Tensor) -> torch.Tensor:
        """Include the values of x [n, channels], and return x."""
        self.low, self.high = torch.minimum(self.low, x.amin(0)), torch.maximum(self.high, x.amax(0))
        return x

    @property
    def largest(self) -> torch.Tensor:
        """The largest magnitude of each channel."""
        return torch.maximum(self.low.abs(), self.high.abs())


class Int8Linear:
    """A linear layer whose input and weights have 8 bits.

    Args:
        linear: The layer in float32, not packed.
        seen: The range of its input.
        smoothing: See _SMOOTHING.
    """

    def __init__(self, linear: Linear, seen: Range, smoothing: float = 0.0) -> None:
        weight, self._bias = linear.weight, linear.bias
        factors = _factors(weight, seen.largest, smoothing) if smoothing else torch.ones(weight.shape[1])
        low, high = min(float((seen.low / factors).min()), 0.0), max(float((seen.high / factors).max()), 0.0)
        self.scale = max((high - low) / 255, _SMALL)
        self.zero = round(-low / self.scale)
        self._multiplier = 1 / (factors * self.scale)
        self._shift = torch.full_like(self._multiplier, self.zero + 0.5)  # to round, not to cut
        weight = weight * factors
        self._scales = (weight.abs().amax(1) / 127).clamp(min=_SMALL)
        codes = (weight / self._scales[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(codes, [1024, codes.shape[1]])
        self._zeros = torch.zeros(len(codes), dtype=torch.int32)

    def quantise(self, x: torch.Tensor) -> torch.Tensor:
        """Return the 8-bit codes of x [n, in]; values outside the range get the nearest one."""
        codes = torch.addcmul(self._shift, x, self._multiplier).clamp_(0, 255)
        return codes.to(torch.int32).to(torch.uint8)  # one step takes torch four times as long

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b in float32, [n, out], of the codes of x [n, in]."""
        return self._product(codes, "none", 1.0, 0, torch.float32)

    def codes(self, codes: torch.Tensor, activation: str, following: "Int8Linear") -> torch.Tensor:
        """Return activation(x W^T + b), [n, out], as codes of the following layer."""
        return self._product(codes, activation, following.scale, following.zero, torch.uint8)

    def _product(
        self, codes: torch.Tensor, activation: str, scale: float, zero: int, dtype: torch.dtype
    ) -> torch.Tensor:
        operation, algorithm = FUSED[activation]
        out: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(codes, self.scale, self.zero, self._packed, self._scales, self._zeros, self._bias),
            *(scale, zero, dtype, operation, [], algorithm),
        )
        return out

    def add(self, codes: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b + residual in float32, [n, out]."""
        out: torch.Tensor = torch.ops.onednn.qlinear_pointwise.binary(
            *(codes, self.scale, self.zero, self._packed, self._scales, self._zeros, residual, self._bias),
            *(1.0, 0, torch.float32, 1.0, 0, "add", 1.0, "none", [], ""),
        )
        return out


def _factors(weight: torch.Tensor, largest: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return what each channel is divided by, with a geometric mean of 1."""
    raw = largest.clamp(min=1e-5) ** smoothing / weight.abs().amax(0).clamp(min=1e-5) ** (1 - smoothing)
    return raw / raw.log().mean().exp()


class LayerRanges:
    """The ranges of the inputs of a layer's four products."""

    def __init__(self) -> None:
        self.qkv, self.out, self.up, self.down = Range(), Range(), Range(), Range()

    def run(self, layer: "Layer", x: torch.Tensor, mix: "Mix", activation: str) -> torch.Tensor:
        """Return the layer's output in float32, and include the inputs of its products."""
        mixed = self.out.look(mix(layer.qkv(self.qkv.look(x))))
        x = self.up.look(layer.attention_norm(layer.out.add(mixed, x)))
        return layer.output_norm(layer.down.add(self.down.look(layer.up(x, activation)), x))


class Int8Layer:
    """A layer of BERT in int8; its attention and its norms compute in float32.

    Args:
        layer: The layer in float32, with weights that are not packed.
        seen: The ranges of its inputs.
    """

    def __init__(self, layer: "Layer", seen: LayerRanges) -> None:
        count = min(_OUTLIERS, len(seen.down.largest) - 1)
        outliers = seen.down.largest.topk(count).indices
        up, down = layer.up.without(outputs=outliers), layer.down.without(inputs=outliers)
        seen.down.low[outliers] = seen.down.high[outliers] = 0
        self.attention_norm, self.output_norm = layer.attention_norm, layer.output_norm
        self._qkv = Int8Linear(layer.qkv, seen.qkv, _SMOOTHING)
        self._out = Int8Linear(layer.out, seen.out)
        self._up = Int8Linear(up, seen.up, _SMOOTHING)
        self._down = Int8Linear(down, seen.down)
        self._outlier_up = layer.up.weight[outliers].t().contiguous()
        self._outlier_bias = None if layer.up.bias is None else layer.up.bias[outliers].clone()
        self._outlier_down = layer.down.weight[:, outliers].t().contiguous()

    def __call__(self, x: torch.Tensor, mix: "Mix", activation: str) -> torch.Tensor:
        """Return the layer's output for x, [n, width] in float32. `mix` is the attention."""
        mixed = mix(self._qkv(self._qkv.quantise(x)))
        x = self.attention_norm(self._out.add(self._out.quantise(mixed), x))
        inner = self._up.codes(self._up.quantise(x), activation, self._down)
        return self.output_norm(self._down.add(inner, self._add_outliers(x, activation)))

    def _add_outliers(self, x: torch.Tensor, activation: str) -> torch.Tensor:
        """Return x and the outlier channels' part of the feed-forward."""
        inner = torch.mm(x, self._outlier_up)
        if self._outlier_bias is not None:
            inner += self._outlier_bias
        return torch.addmm(x, PLAIN[activation](inner), self._outlier_down)

    def __deepcopy__(self, _memo: object) -> "Int8Layer":
        """Return the layer itself for a copy of its model: it never changes, and torch cannot copy such weights."""
        return self

"""A transformer tower of CLIP: layers that normalise before attention and feed-forward, over packed tokens.

The sum that runs through the layers stays float32 in every precision: nothing normalises it on the way, and CLIP's
grows large in a few dimensions.
"""

import math
from dataclasses import dataclass

import torch

from st_spark.errors import ModelError
from st_spark.model.backbones.attention import attend
from st_spark.model.backbones.layers import ACTIVATIONS, Linear
from st_spark.model.backbones.norm import Norm
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.batching import Group


@dataclass(frozen=True)
class Reader:
    """Tensors of one part of a checkpoint, on the device.

    Attributes:
        weights: All tensors.
        prefix: What stands before the names of this part.
        dtype: What to compute in.
        device: Where.
    """

    weights: Weights
    prefix: str
    dtype: torch.dtype
    device: torch.device

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor in float32.

        Raises:
            ModelError: There is none of that name.
        """
        full = self.prefix + name
        if full not in self.weights:
            raise ModelError(
                f"{self.weights.folder} has no tensor {full!r}, which its config.json promises.",
                "the checkpoint is incomplete or of another architecture: copy or download it again.",
            )
        return self.weights[full].to(self.device, torch.float32)

    def linear(self, *names: str, scale: float = 1.0) -> Linear:
        """The projections of those names side by side, the first one scaled."""
        weights = [self.tensor(f"{name}.weight") for name in names]
        biases = [self.tensor(f"{name}.bias") for name in names]
        weights[0], biases[0] = weights[0] * scale, biases[0] * scale
        return Linear(torch.cat(weights), torch.cat(biases), self.dtype, self.device)

    def norm(self, name: str, eps: float) -> Norm:
        """The LayerNorm of that name."""
        return Norm(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"), eps)


@dataclass(frozen=True)
class Layer:
    """One layer; the queries carry the scale of the attention scores."""

    attention_norm: Norm
    qkv: Linear
    out: Linear
    output_norm: Norm
    up: Linear
    down: Linear


class Tower:
    """Embedded tokens to the hidden states of the last layer.

    Args:
        reader: The tensors, below "encoder.layers.N".
        layers: How many layers.
        heads: Attention heads of each.
        activation: transformers' name of the feed-forward's activation.
        eps: Of the LayerNorms.
        causal: Whether a token sees only those before it.

    Raises:
        ModelError: A tensor is missing, or the activation is unknown.
    """

    def __init__(self, reader: Reader, layers: int, heads: int, activation: str, eps: float, causal: bool) -> None:
        if activation != "quick_gelu" and activation not in ACTIVATIONS:
            known = ", ".join(["quick_gelu", *ACTIVATIONS])
            raise ModelError(f"the activation {activation!r} is unknown.", f"choose a CLIP model with {known}.")
        self.heads, self.activation, self.causal, self.dtype = heads, activation, causal, reader.dtype
        self.layers = [_layer(reader, f"encoder.layers.{i}.", heads, eps) for i in range(layers)]
        self._mask = torch.empty(1, 0, 0)

    def __call__(self, x: torch.Tensor, groups: list[Group]) -> torch.Tensor:
        """[tokens, width] float32 to the same, attention within each text or image."""
        mask = self._mask_for(max(group.length for group in groups), x.device) if self.causal else None
        for layer in self.layers:
            mixed = attend(layer.qkv(layer.attention_norm(x).to(self.dtype)), self.heads, groups, mask)
            x = x + layer.out(mixed)
            x += layer.down(self._raised(layer, layer.output_norm(x).to(self.dtype)))
        return x

    def _raised(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        if self.activation in ACTIVATIONS:
            return layer.up(x, ACTIVATIONS[self.activation])
        raised = layer.up(x)
        return torch.sigmoid(1.702 * raised).mul_(raised)  # quick_gelu

    def _mask_for(self, length: int, device: torch.device) -> torch.Tensor:
        """[1, n, n] with -inf where a token would look ahead; n >= length."""
        mask = self._mask  # another thread may put a shorter one there meanwhile
        if mask.shape[1] < length:
            ahead = torch.full((1, length, length), float("-inf"), dtype=self.dtype, device=device)
            mask = self._mask = ahead.triu(1)
        return mask


def _layer(reader: Reader, base: str, heads: int, eps: float) -> Layer:
    attention = base + "self_attn."
    attention_norm = reader.norm(base + "layer_norm1", eps)
    scale = 1 / math.sqrt(attention_norm.weight.shape[0] // heads)
    return Layer(
        attention_norm=attention_norm,
        qkv=reader.linear(*(f"{attention}{name}_proj" for name in "qkv"), scale=scale),
        out=reader.linear(attention + "out_proj"),
        output_norm=reader.norm(base + "layer_norm2", eps),
        up=reader.linear(base + "mlp.fc1"),
        down=reader.linear(base + "mlp.fc2"),
    )

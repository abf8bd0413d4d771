"""The packed T5 encoder: sentence-t5, gtr-t5, instructor.

As in st_spark.model.backbones.bert there is no padding. What differs from BERT: an RMS norm before each part, the
sum of all parts in between, scores without a scale but with a bias by relative position, no other biases, and a
feed-forward that may be gated. The sum grows large, so that it is kept in float32 whatever the products use.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from st_spark.model.backbones.attention import attend
from st_spark.model.backbones.layers import ACTIVATIONS, Linear
from st_spark.model.backbones.relative_bias import RelativeBias
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed

_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


@dataclass
class RmsNorm:
    """Scales each token to mean square 1, then each feature by its weight."""

    weight: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [n, width] to the same."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


@dataclass
class Layer:
    """One encoder layer, normalised before each part; gate is None in a plain feed-forward."""

    attention_norm: RmsNorm
    qkv: Linear
    out: Linear
    feed_norm: RmsNorm
    up: Linear
    gate: Linear | None
    down: Linear


class T5Backbone:
    """Token ids to token embeddings.

    Args:
        weights: The checkpoint's tensors; a decoder among them is left unread.
        config: Its transformers config.
        dtype: What the products compute in.
        device: Where.
    """

    def __init__(self, weights: Weights, config: Any, dtype: torch.dtype, device: torch.device) -> None:  # noqa: ANN401
        self.config = config
        self.dtype, self.device = dtype, device
        words = "shared.weight" if "shared.weight" in weights else "encoder.embed_tokens.weight"
        self.keeps_layers = bool(config.output_hidden_states)
        self.words = weights.need(words).to(device, dtype)
        far = config.relative_attention_max_distance
        self.bias = RelativeBias(weights.need(_BIAS).float(), dtype, device, far)
        self.layers = [self._layer(weights, f"encoder.block.{i}.layer.") for i in range(config.num_layers)]
        self.final_norm = self._norm(weights, "encoder.final_layer_norm")

    @property
    def dimension(self) -> int:
        """Width of the token embeddings."""
        return self.words.shape[1]

    def __call__(self, batch: Packed) -> Packed:
        """Fills in the token embeddings of a micro-batch."""
        x = F.embedding(batch.ids, self.words).float()
        bias = self.bias(max(group.length for group in batch.groups))
        for layer in self.layers:
            batch.layers += [x] * self.keeps_layers
            qkv = layer.qkv(layer.attention_norm(x).to(self.dtype))
            x = _sum(layer.out, attend(qkv, self.config.num_heads, batch.groups, bias), x)
            x = _sum(layer.down, self._feed(layer, layer.feed_norm(x).to(self.dtype)), x)
        batch.hidden = self.final_norm(x).to(self.dtype)
        batch.layers += [batch.hidden] * self.keeps_layers
        return batch

    def _feed(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        inner = layer.up(x, ACTIVATIONS[self.config.dense_act_fn])
        inner = inner if layer.gate is None else inner * layer.gate(x)
        return inner.float() if self.dtype == torch.float16 else inner

    def _layer(self, weights: Weights, base: str) -> Layer:
        attention, feed = base + "0.SelfAttention.", base + "1.DenseReluDense."
        gated = self.config.is_gated_act
        # float16 ends at 65,504, which the last product of real models exceeds
        wide = torch.float32 if self.dtype == torch.float16 else self.dtype
        qkv = torch.cat([weights.need(f"{attention}{part}.weight").float() for part in "qkv"])
        return Layer(
            attention_norm=self._norm(weights, base + "0.layer_norm"),
            qkv=Linear(qkv, None, self.dtype, self.device),
            out=self._linear(weights, attention + "o"),
            feed_norm=self._norm(weights, base + "1.layer_norm"),
            up=self._linear(weights, feed + ("wi_0" if gated else "wi")),
            gate=self._linear(weights, feed + "wi_1") if gated else None,
            down=self._linear(weights, feed + "wo", wide),
        )

    def _linear(self, weights: Weights, name: str, dtype: torch.dtype | None = None) -> Linear:
        return Linear(weights.need(name + ".weight"), None, dtype or self.dtype, self.device)

    def _norm(self, weights: Weights, name: str) -> RmsNorm:
        return RmsNorm(weights.need(name + ".weight").float().to(self.device), self.config.layer_norm_epsilon)


def covers(config: Any) -> bool:  # noqa: ANN401  (a transformers config of any class)
    """Whether this forward is that of a transformers config."""
    return config.model_type == "t5" and config.dense_act_fn in ACTIVATIONS


def _sum(linear: Linear, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
    """[n, in] through the layer, plus residual [n, out] in float32."""
    return linear.add(x, residual) if x.dtype == torch.float32 else residual + linear(x).float()

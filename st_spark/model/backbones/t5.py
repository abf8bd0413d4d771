"""The packed T5 encoder: sentence-t5, gtr-t5, instructor.

As in st_spark.model.backbones.bert there is no padding. T5 differs from BERT in five points: an RMS norm before each
part, a residual sum that nothing normalises in between, attention scores with a bias by relative position and without
a scale, no other biases, and a feed-forward that may be gated. The residual sum grows large, so it is always float32.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from st_spark.model.backbones.attention import attention
from st_spark.model.backbones.layers import ACTIVATIONS, LayerLoader, Linear, RelativeBias, RmsNorm, check_heads
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed

_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


@dataclass
class Layer:
    """One encoder layer, with a norm before each part; gate is None in a plain feed-forward."""

    attention_norm: RmsNorm
    qkv: Linear
    out: Linear
    feed_norm: RmsNorm
    up: Linear
    gate: Linear | None
    down: Linear


class T5Backbone:
    """Turns token ids into token embeddings.

    Args:
        weights: The checkpoint's tensors; a decoder among them is not read.
        config: Its transformers config.
        dtype: Number format of the matrix products.
        device: Where to compute.

    Raises:
        ModelError: A tensor is missing or has another size.
    """

    max_length = None  # relative positions have no end

    def __init__(self, weights: Weights, config: Any, dtype: torch.dtype, device: torch.device) -> None:  # noqa: ANN401
        load = LayerLoader(weights, "", dtype, device)
        self.config = config
        self.dtype, self.device = dtype, device
        self.keeps_layers = bool(config.output_hidden_states)
        words = "shared.weight" if "shared.weight" in weights else "encoder.embed_tokens.weight"
        self.words = load.tensor(words, dtype)
        table = load.tensor(_BIAS, torch.float32)
        check_heads(config.num_heads, table.shape[1])
        self.bias = RelativeBias(table, dtype, device, config.relative_attention_max_distance)
        self.layers = [_layer(load, f"encoder.block.{i}.layer.", config) for i in range(config.num_layers)]
        self.final_norm = load.rms_norm("encoder.final_layer_norm", config.layer_norm_epsilon)
        weights.check_all_read()

    @property
    def rows(self) -> int:
        """How many tokens have an embedding."""
        return self.words.shape[0]

    @property
    def dimension(self) -> int:
        """Width of the token embeddings."""
        return self.words.shape[1]

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the token embeddings of a micro-batch."""
        x = F.embedding(batch.ids, self.words).float()
        bias = self.bias(max(group.length for group in batch.groups))
        mix = attention(batch.groups, self.device, bias)
        for layer in self.layers:
            batch.layers += [x] * self.keeps_layers
            qkv = layer.qkv(layer.attention_norm(x).to(self.dtype))
            x = layer.out.add(mix(qkv, self.config.num_heads), x)
            x = layer.down.add(self._feed(layer, layer.feed_norm(x).to(self.dtype)), x)
        batch.hidden = self.final_norm(x).to(self.dtype)
        batch.layers += [batch.hidden] * self.keeps_layers
        return batch

    def _feed(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        inner = layer.up(x, ACTIVATIONS[self.config.dense_act_fn])
        inner = inner if layer.gate is None else layer.gate.times(x, inner)
        return inner.float() if self.dtype == torch.float16 else inner


def covers(config: Any) -> bool:  # noqa: ANN401  (a transformers config of any class)
    """Return whether this forward can run the model of a transformers config."""
    return config.model_type == "t5" and config.dense_act_fn in ACTIVATIONS


def _layer(load: LayerLoader, base: str, config: Any) -> Layer:  # noqa: ANN401  (T5Config)
    attention, feed = base + "0.SelfAttention.", base + "1.DenseReluDense."
    # float16 ends at 65,504, and the last product of real models is larger.
    down_type = torch.float32 if load.dtype == torch.float16 else load.dtype
    return Layer(
        attention_norm=load.rms_norm(base + "0.layer_norm", config.layer_norm_epsilon),
        qkv=load.linear(*(attention + part for part in "qkv"), bias=False),
        out=load.linear(attention + "o", bias=False),
        feed_norm=load.rms_norm(base + "1.layer_norm", config.layer_norm_epsilon),
        up=load.linear(feed + ("wi_0" if config.is_gated_act else "wi"), bias=False),
        gate=load.linear(feed + "wi_1", bias=False) if config.is_gated_act else None,
        down=load.linear(feed + "wo", bias=False, dtype=down_type),
    )

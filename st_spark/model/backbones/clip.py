"""The packed encoders of CLIP, one for texts and one for images.

The layers normalise before the attention and before the feed-forward. The residual sum is float32 in every precision:
nothing normalises it between the layers, and in CLIP it grows large in a few dimensions.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch

from st_spark.errors import ModelError
from st_spark.model.backbones.attention import attention
from st_spark.model.backbones.layers import ACTIVATIONS, LayerLoader, LayerNorm, Linear, check_heads
from st_spark.model.inputs.batching import Group
from st_spark.model.inputs.packed import Packed


@dataclass(frozen=True)
class Layer:
    """One layer; the query weights hold the scale of the attention scores."""

    attention_norm: LayerNorm
    qkv: Linear
    out: Linear
    feed_norm: LayerNorm
    up: Linear
    down: Linear


class ClipLayers:
    """The layers of one encoder: embedded tokens to the hidden states of the last layer.

    Args:
        load: Reads the tensors of the encoder.
        config: CLIPTextConfig or CLIPVisionConfig.
        causal: Whether a token sees only the tokens before it.

    Raises:
        ModelError: A tensor is missing, or the activation is unknown.
    """

    def __init__(self, load: LayerLoader, config: Any, causal: bool) -> None:  # noqa: ANN401
        self.activation, self.heads = config.hidden_act, config.num_attention_heads
        if self.activation != "quick_gelu" and self.activation not in ACTIVATIONS:
            known = ", ".join(["quick_gelu", *ACTIVATIONS])
            raise ModelError(f"the activation {self.activation!r} is unknown.", f"choose a CLIP model with {known}.")
        self.causal, self.dtype = causal, load.dtype
        self.layers = [_layer(load, f"encoder.layers.{i}.", config) for i in range(config.num_hidden_layers)]

    def __call__(self, x: torch.Tensor, groups: list[Group]) -> torch.Tensor:
        """Transform x [tokens, width] in float32, with attention within each text or image."""
        mix = attention(groups, x.device)
        for layer in self.layers:
            qkv = layer.qkv(layer.attention_norm(x).to(self.dtype))
            mixed = mix(qkv, self.heads, causal=self.causal)
            x = x + layer.out(mixed)
            x += layer.down(self._up(layer, layer.feed_norm(x).to(self.dtype)))
        return x

    def _up(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        if self.activation in ACTIVATIONS:
            return layer.up(x, ACTIVATIONS[self.activation])
        inner = layer.up(x)
        return torch.sigmoid(1.702 * inner).mul_(inner)  # quick_gelu


def _layer(load: LayerLoader, base: str, config: Any) -> Layer:  # noqa: ANN401
    attention, eps = base + "self_attn.", config.layer_norm_eps
    attention_norm = load.norm(base + "layer_norm1", eps)
    width = attention_norm.weight.shape[0]
    check_heads(config.num_attention_heads, width)
    scale = 1 / math.sqrt(width // config.num_attention_heads)
    return Layer(
        attention_norm=attention_norm,
        qkv=load.linear(*(f"{attention}{name}_proj" for name in "qkv"), scale=scale),
        out=load.linear(attention + "out_proj"),
        feed_norm=load.norm(base + "layer_norm2", eps),
        up=load.linear(base + "mlp.fc1"),
        down=load.linear(base + "mlp.fc2"),
    )


class TextEncoder:
    """Turns token ids into one vector per text: the hidden state of its end token.

    Args:
        load: Reads the tensors below "text_model.".
        config: CLIPTextConfig.
    """

    def __init__(self, load: LayerLoader, config: Any) -> None:  # noqa: ANN401
        self.words = load.tensor("embeddings.token_embedding.weight", torch.float32)
        self.positions = load.tensor("embeddings.position_embedding.weight", torch.float32)
        self.layers = ClipLayers(load, config, causal=True)
        self.norm = load.norm("final_layer_norm", config.layer_norm_eps)
        # Configs from before July 2023 say 2, which is not the end token. The end token has the largest id of all.
        self.end = None if config.eos_token_id == 2 else config.eos_token_id

    def __call__(self, batch: Packed) -> torch.Tensor:
        """Return [texts, width] float32."""
        positions = torch.from_numpy(batch.positions()).to(batch.ids.device)
        hidden = self.layers(self.words[batch.ids] + self.positions[positions], batch.groups)
        ends = []
        for group in batch.groups:
            ids = batch.ids[group.start : group.stop].view(group.count, group.length)
            last = (ids if self.end is None else (ids == self.end).int()).argmax(dim=1)
            ends.append(last + torch.arange(group.start, group.stop, group.length, device=ids.device))
        return self.norm(hidden[torch.cat(ends)])


class ImageEncoder:
    """Turns pixels into one vector per image: the hidden state of the class token that precedes its patches.

    Args:
        load: Reads the tensors below "vision_model.".
        config: CLIPVisionConfig.
    """

    def __init__(self, load: LayerLoader, config: Any) -> None:  # noqa: ANN401
        self.dtype, self.patch, self.edge = load.dtype, config.patch_size, config.image_size
        self.side = self.edge // self.patch
        self.tokens = self.side**2 + 1
        patches = load.tensor("embeddings.patch_embedding.weight")
        self.patches = Linear(patches.flatten(1), None, load.dtype, load.device)
        self.class_token = load.tensor("embeddings.class_embedding", torch.float32)
        self.positions = load.tensor("embeddings.position_embedding.weight", torch.float32)
        if len(self.positions) != self.tokens:
            problem = (
                f"config.json says images of {self.tokens - 1} patches, the weights have {len(self.positions) - 1}."
            )
            raise ModelError(problem, "the files are of two models: copy or download all of them again.")
        self.first_norm = load.norm("pre_layrnorm", config.layer_norm_eps)  # every checkpoint spells the name like this
        self.layers = ClipLayers(load, config, causal=False)
        self.norm = load.norm("post_layernorm", config.layer_norm_eps)

    def __call__(self, pixels: torch.Tensor, groups: list[Group]) -> torch.Tensor:
        """Return [images, width] float32 of pixels [images, 3, edge, edge] float32."""
        count, channels, covered = len(pixels), pixels.shape[1], self.side * self.patch
        grid = pixels[:, :, :covered, :covered].reshape(count, channels, self.side, self.patch, self.side, self.patch)
        flat = grid.permute(0, 2, 4, 1, 3, 5).reshape(count * self.side**2, -1).to(self.dtype)
        hidden = torch.empty(count, self.tokens, len(self.class_token), device=pixels.device)
        hidden[:, 0] = self.class_token
        hidden[:, 1:] = self.patches(flat).view(count, self.side**2, -1)
        hidden += self.positions
        x = self.layers(self.first_norm(hidden).flatten(0, 1), groups)
        return self.norm(x.view(hidden.shape)[:, 0])

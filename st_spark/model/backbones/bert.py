"""The packed encoder of BERT, RoBERTa, XLM-R, CamemBERT, DistilBERT, MPNet, ELECTRA and ALBERT.

There is no padding: matrix products run over all tokens of a micro-batch at once, attention runs over groups of equally
long texts. One product gives queries, keys and values. The scale of the scores is part of the query weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.backbones.attention import attention
from st_spark.model.backbones.int8 import Int8Layer, LayerRanges
from st_spark.model.backbones.layers import (
    ACTIVATIONS,
    LayerLoader,
    LayerNorm,
    Linear,
    RelativeBias,
    check_heads,
    check_width,
)
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed

_WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Architecture:
    """Names of the weights of one model family, as in transformers' modeling files; {i} is the layer's number.

    Attributes:
        layer: Prefix of a layer; the names below follow it. ALBERT's layers share weights: {i} is then their group.
        qkv: Query, key and value projection.
        out: Output projection of the attention.
        attention_norm: LayerNorm after the attention.
        up: First projection of the feed-forward.
        down: Second projection of the feed-forward.
        output_norm: LayerNorm after the feed-forward.
        positions_skip_padding: Positions count from padding_idx + 1 and skip padding tokens, instead of from 0.
        relative_bias: Table of a learned bias by relative position, or None.
        segments: Whether the family has embeddings of segments, unless the config says that there are none.
        projection: Projection of narrower embeddings to the width of the layers, or None.
        sizes: Names in config.json of (layers, heads, activation, LayerNorm epsilon or its fixed value).
    """

    layer: str
    qkv: tuple[str, str, str]
    out: str
    attention_norm: str
    up: str
    down: str
    output_norm: str
    positions_skip_padding: bool = False
    relative_bias: str | None = None
    segments: bool = True
    projection: str | None = None
    sizes: tuple[str, str, str, str | float] = (
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_act",
        "layer_norm_eps",
    )


_BERT = Architecture(
    layer="encoder.layer.{i}.",
    qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
    out="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    output_norm="output.LayerNorm",
)
_ROBERTA = replace(_BERT, positions_skip_padding=True)
_DISTILBERT = Architecture(
    layer="transformer.layer.{i}.",
    qkv=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    out="attention.out_lin",
    attention_norm="sa_layer_norm",
    up="ffn.lin1",
    down="ffn.lin2",
    output_norm="output_layer_norm",
    segments=False,
    sizes=("n_layers", "n_heads", "activation", 1e-12),
)
_MPNET = replace(
    _ROBERTA,
    qkv=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
    out="attention.attn.o",
    attention_norm="attention.LayerNorm",
    relative_bias="encoder.relative_attention_bias.weight",
    segments=False,
)
_ALBERT = replace(
    _BERT,
    layer="encoder.albert_layer_groups.{i}.albert_layers.0.",
    qkv=("attention.query", "attention.key", "attention.value"),
    out="attention.dense",
    attention_norm="attention.LayerNorm",
    up="ffn",
    down="ffn_output",
    output_norm="full_layer_layer_norm",
    projection="encoder.embedding_hidden_mapping_in",
)
_FAMILIES = {
    "albert": _ALBERT,
    "bert": _BERT,
    "electra": replace(_BERT, projection="embeddings_project"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "mpnet": _MPNET,
}


def find_architecture(config: Any) -> Architecture | None:  # noqa: ANN401  (a transformers config of any class)
    """Return the architecture of a transformers config, or None if this forward does not cover it."""
    architecture = _FAMILIES.get(config.model_type)
    if architecture is None:
        return None
    if config.model_type == "electra" and config.embedding_size == config.hidden_size:
        architecture = replace(architecture, projection=None)
    covered = (
        getattr(config, architecture.sizes[2]) in ACTIVATIONS
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "is_causal", False)
        and not getattr(config, "add_cross_attention", False)
        and getattr(config, "inner_group_num", 1) == 1
    )
    return architecture if covered else None


@dataclass
class Layer:
    """One encoder layer, with a LayerNorm after each residual sum."""

    qkv: Linear
    out: Linear
    attention_norm: LayerNorm
    up: Linear
    down: Linear
    output_norm: LayerNorm

    def __call__(self, x: torch.Tensor, mix: Callable[[torch.Tensor], torch.Tensor], activation: str) -> torch.Tensor:
        """Return the layer's output for x, [n, width]. `mix` is the attention."""
        x = self.attention_norm(self.out.add(mix(self.qkv(x)), x))
        return self.output_norm(self.down.add(self.up(x, activation), x))


class BertBackbone:
    """Turns token ids into token embeddings.

    Args:
        weights: The checkpoint's tensors.
        config: Its transformers config.
        architecture: Names of the tensors.
        dtype: Number format of the computation. The embeddings are always summed and normalised in float32. For int8
            the layers are in float32 until to_int8() is called.
        device: Where to compute.

    Raises:
        ModelError: A tensor is missing.
    """

    def __init__(
        self,
        weights: Weights,
        config: Any,  # noqa: ANN401  (a transformers config of any class)
        architecture: Architecture,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        prepack = dtype is not torch.int8
        dtype = dtype if prepack else torch.float32
        load = LayerLoader(weights, _prefix(weights), dtype, device, prepack)
        self.dtype, self.device = dtype, device
        layers, heads, activation, eps_name = architecture.sizes
        eps = getattr(config, eps_name) if isinstance(eps_name, str) else eps_name
        self.heads = getattr(config, heads)
        self.activation = ACTIVATIONS[getattr(config, activation)]
        self.keeps_layers = bool(config.output_hidden_states)
        self.padding_id = config.pad_token_id if architecture.positions_skip_padding else None
        self.words = load.tensor(_WORDS)
        self.projection = load.linear(architecture.projection) if architecture.projection else None
        self.dimension = self.words.shape[1] if self.projection is None else self.projection.weight.shape[0]
        check_width(config.hidden_size, self.dimension)
        check_heads(self.heads, self.dimension)
        self.positions = load.tensor("embeddings.position_embeddings.weight")
        segments = "embeddings.token_type_embeddings.weight"
        self.segments = load.tensor(segments) if architecture.segments and config.type_vocab_size else None
        self.embedding_norm = load.norm("embeddings.LayerNorm", eps)
        scale = 1 / math.sqrt(self.dimension // self.heads)
        names = _layer_names(architecture.layer, getattr(config, layers), getattr(config, "num_hidden_groups", None))
        built = {name: _layer(load, architecture, name, scale, eps) for name in set(names)}
        self.layers: list[Any] = [built[name] for name in names]
        table = architecture.relative_bias
        self.bias = None if table is None else RelativeBias(load.tensor(table), dtype, device)
        weights.check_all_read(load.prefix)
        # RoBERTa's positions start after the padding id.
        self.max_length = len(self.positions) - (0 if self.padding_id is None else self.padding_id + 1)

    @property
    def rows(self) -> int:
        """How many tokens have an embedding."""
        return self.words.shape[0]

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the token embeddings of a micro-batch."""
        x, mix = self._embed(batch), self._attention(batch)
        for layer in self.layers:
            batch.layers += [x] * self.keeps_layers
            x = layer(x, mix, self.activation)
        batch.layers += [x] * self.keeps_layers
        batch.hidden = x
        return batch

    def to_int8(self, batch: Packed) -> Packed:
        """Let the layers multiply in int8, with the ranges that their inputs have for a micro-batch.

        Returns:
            The micro-batch with its token embeddings in float32.
        """
        x, mix = self._embed(batch), self._attention(batch)
        seen = {id(layer): LayerRanges() for layer in self.layers}  # ALBERT's layers are the same
        for layer in self.layers:
            x = seen[id(layer)].run(layer, x, mix, self.activation)
        built = {id(layer): Int8Layer(layer, seen[id(layer)]) for layer in self.layers}
        self.layers = [built[id(layer)] for layer in self.layers]
        return replace(batch, hidden=x)

    def _attention(self, batch: Packed) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the attention of the texts of a micro-batch, a function of the queries, keys and values."""
        bias = None if self.bias is None else self.bias(max(group.length for group in batch.groups))
        mix = attention(batch.groups, self.device, bias)
        return lambda qkv: mix(qkv, self.heads)

    def _embed(self, batch: Packed) -> torch.Tensor:
        positions = torch.from_numpy(batch.positions()).to(self.device)
        if self.padding_id is not None:
            positions = _skip_padding(batch, positions, self.padding_id)
        x = F.embedding(batch.ids, self.words).float()
        x += F.embedding(positions, self.positions)
        if self.segments is not None:
            x += self.segments[0] if batch.types is None else F.embedding(batch.types, self.segments)
        x = self.embedding_norm(x).to(self.dtype)
        return x if self.projection is None else self.projection(x)


def _prefix(weights: Weights) -> str:
    """Return what precedes the names: nothing, or "bert." and the like if a head was saved with the model."""
    for name in weights:
        if name.endswith(_WORDS):
            return name.removesuffix(_WORDS)
    raise ModelError(f"{weights.folder} has no tensor {_WORDS!r}.", "name a folder that holds a transformers encoder.")


def _layer_names(layer: str, count: int, groups: int | None) -> list[str]:
    """Return the prefix of each layer; with groups, neighbouring layers share one."""
    return [layer.format(i=i if groups is None else int(i / (count / groups))) for i in range(count)]


def _layer(load: LayerLoader, names: Architecture, base: str, scale: float, eps: float) -> Layer:
    # CUDA's LayerNorm wants its weights in the number format of its input.
    norm_type = torch.float32 if load.device.type == "cpu" else load.dtype
    return Layer(
        qkv=load.linear(*(base + name for name in names.qkv), scale=scale),
        out=load.linear(base + names.out),
        attention_norm=load.norm(base + names.attention_norm, eps, norm_type),
        up=load.linear(base + names.up),
        down=load.linear(base + names.down),
        output_norm=load.norm(base + names.output_norm, eps, norm_type),
    )


def _skip_padding(batch: Packed, positions: torch.Tensor, padding_id: int) -> torch.Tensor:
    """Return RoBERTa's positions, which count from padding_id + 1.

    A text can contain the padding token. It gets the position padding_id and is not counted.
    """
    if batch.ids.is_meta or not bool((batch.ids == padding_id).any()):
        return positions + (padding_id + 1)
    real = (batch.ids != padding_id).long()
    running = torch.cumsum(real, 0)
    starts = torch.arange(len(positions), device=positions.device) - positions
    counted = running - (running - real)[starts]
    return counted * real + padding_id

"""The packed transformer encoder: BERT, RoBERTa, XLM-R, CamemBERT, DistilBERT and MPNet in one forward.

No padding: the GEMMs run over all tokens of a micro-batch at once, attention over groups of equal length. Queries,
keys and values come from one product, the scale of the scores is folded into the query weights.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.backbones.architectures import Architecture
from st_spark.model.backbones.attention import attend
from st_spark.model.backbones.layers import ACTIVATIONS, Linear
from st_spark.model.backbones.norm import Norm
from st_spark.model.backbones.relative_bias import RelativeBias
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed

_WORDS = "embeddings.word_embeddings.weight"


@dataclass
class Layer:
    """One encoder layer, normalised behind each residual sum."""

    qkv: Linear
    out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    output_norm: Norm


class Backbone:
    """Token ids to token embeddings.

    Args:
        weights: The checkpoint's tensors.
        config: Its transformers config.
        architecture: Where the tensors are.
        dtype: What to compute in; embeddings and their LayerNorm are float32 always on a CPU.
        device: Where.
    """

    def __init__(
        self,
        weights: Weights,
        config: Any,  # noqa: ANN401  (a transformers config of any class)
        architecture: Architecture,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._weights, self._architecture = weights, architecture
        self._prefix = _prefix(weights)
        self.dtype, self.device = dtype, device
        layers, heads, activation, eps = architecture.sizes
        self.heads = getattr(config, heads)
        self.activation = ACTIVATIONS[getattr(config, activation)]
        self.eps = getattr(config, eps) if isinstance(eps, str) else eps
        self.keeps_layers = bool(config.output_hidden_states)
        self.padding_id = config.pad_token_id if architecture.after_padding else None
        self.words = self._tensor(_WORDS).to(device)
        self.places = self._tensor("embeddings.position_embeddings.weight").to(device)
        segments = self._prefix + "embeddings.token_type_embeddings.weight"
        self.segments = weights[segments].to(device) if segments in weights else None
        self.embedding_norm = self._norm("embeddings.LayerNorm", torch.float32)
        self.layers = [self._layer(i) for i in range(getattr(config, layers))]
        name = architecture.relative_bias
        self.bias = None if name is None else RelativeBias(self._tensor(name), dtype, device)

    @property
    def dimension(self) -> int:
        """Width of the token embeddings."""
        return self.words.shape[1]

    def __call__(self, batch: Packed) -> Packed:
        """Fills in the token embeddings of a micro-batch."""
        x = self._embed(batch)
        bias = None if self.bias is None else self.bias(max(group.length for group in batch.groups))
        for layer in self.layers:
            batch.layers += [x] * self.keeps_layers
            mixed = attend(layer.qkv(x), self.heads, batch.groups, bias)
            x = layer.attention_norm(layer.out.add(mixed, x))
            x = layer.output_norm(layer.down.add(layer.up(x, self.activation), x))
        batch.layers += [x] * self.keeps_layers
        batch.hidden = x
        return batch

    def _embed(self, batch: Packed) -> torch.Tensor:
        positions = torch.from_numpy(batch.positions()).to(self.device)
        if self.padding_id is not None:
            positions = _skip_padding(batch, positions, self.padding_id)
        x = F.embedding(batch.ids, self.words).float()
        x += F.embedding(positions, self.places)
        if self.segments is not None:
            x += self.segments[0] if batch.types is None else F.embedding(batch.types, self.segments)
        return self.embedding_norm(x).to(self.dtype)

    def _layer(self, i: int) -> Layer:
        names, base = self._architecture, self._architecture.layer.format(i=i)
        scale = 1 / math.sqrt(self.dimension // self.heads)
        qkv = [self._pair(base + name) for name in (names.query, names.key, names.value)]
        qkv[0] = (qkv[0][0].float() * scale, qkv[0][1].float() * scale)
        weight, bias = (torch.cat([pair[side].float() for pair in qkv]) for side in (0, 1))
        # CUDA's LayerNorm wants its weights in the type of its input
        norm_type = torch.float32 if self.device.type == "cpu" else self.dtype
        return Layer(
            qkv=Linear(weight, bias, self.dtype, self.device),
            out=Linear(*self._pair(base + names.out), self.dtype, self.device),
            attention_norm=self._norm(base + names.attention_norm, norm_type),
            up=Linear(*self._pair(base + names.up), self.dtype, self.device),
            down=Linear(*self._pair(base + names.down), self.dtype, self.device),
            output_norm=self._norm(base + names.output_norm, norm_type),
        )

    def _pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._tensor(name + ".weight"), self._tensor(name + ".bias")

    def _norm(self, name: str, dtype: torch.dtype) -> Norm:
        # checkpoints converted from TensorFlow call them gamma and beta
        old = self._prefix + name + ".gamma" in self._weights
        weight, bias = (self._tensor(f"{name}.{part}") for part in (("gamma", "beta") if old else ("weight", "bias")))
        return Norm(weight.to(self.device, dtype), bias.to(self.device, dtype), self.eps)

    def _tensor(self, name: str) -> torch.Tensor:
        return self._weights.need(self._prefix + name)


def _prefix(weights: Weights) -> str:
    """What stands before the names: nothing, or "bert." and the like where a head was saved with the model."""
    for name in weights:
        if name.endswith(_WORDS):
            return name.removesuffix(_WORDS)
    raise ModelError(f"{weights.folder} has no tensor {_WORDS!r}.", "name a folder that holds a transformers encoder.")


def _skip_padding(batch: Packed, positions: torch.Tensor, padding_id: int) -> torch.Tensor:
    """RoBERTa's positions: from padding_id + 1; a padding token written in a text has padding_id and counts none."""
    if not bool((batch.ids == padding_id).any()):
        return positions + (padding_id + 1)
    real = (batch.ids != padding_id).long()
    running = torch.cumsum(real, 0)
    starts = torch.arange(len(positions), device=positions.device) - positions
    counted = running - (running - real)[starts]
    return counted * real + padding_id

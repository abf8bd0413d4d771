"""The packed forward of models with rotary positions: ModernBERT, Qwen, Mistral, Llama, Gemma 3, NomicBERT and others.

As in st_spark.model.backbones.bert there is no padding. Queries and keys are turned by an angle that grows with the
position (RoPE, https://arxiv.org/abs/2104.09864), so no table of positions limits the length. In most families the
layers normalise before each part. The residual sum is then float32 in every number format.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.backbones.attention import attention
from st_spark.model.backbones.layers import LayerLoader, LayerNorm, Linear, RmsNorm, check_width
from st_spark.model.backbones.rotary_families import Kind, Settings, read_settings
from st_spark.model.backbones.rotary_names import Names
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed

__all__ = ["RotaryBackbone", "read_settings"]

Norm = LayerNorm | RmsNorm
Turn = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """Half of a layer, attention or feed-forward: its norms and last projection. A norm may be missing.

    Attributes:
        before: Norm of the input.
        last: The last projection.
        after: Norm of the output, before the residual sum.
        total: Norm of the residual sum.
    """

    before: Norm | None
    last: Linear
    after: Norm | None
    total: Norm | None

    def read(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the normalised input."""
        return (x if self.before is None else self.before(x)).to(dtype)

    def join(self, inner: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of the input x and the last projection of `inner`."""
        x = self.last.add(inner, x) if self.after is None else x + self.after(self.last(inner).float())
        return x if self.total is None else self.total(x)


@dataclass(frozen=True)
class Layer:
    """One layer. The queries are multiplied by the scale of the scores in `qkv`, or in `head_norm` if there is one.

    Attributes:
        kind: Its positions and its window.
        attention: Norms and output projection of the attention.
        qkv: Projection to queries, keys and values.
        head_norm: RMS norm of each query and key head, with weights [heads, head size], or None.
        feed: Norms and last projection of the feed-forward.
        up: First projection of the feed-forward.
        gate: Projection whose activation multiplies `up`. None if `up` has the activation.
    """

    kind: Kind
    attention: Part
    qkv: Linear
    head_norm: RmsNorm | None
    feed: Part
    up: Linear
    gate: Linear | None


class RotaryBackbone:
    """Turns token ids into token embeddings.

    Args:
        weights: The checkpoint's tensors.
        settings: What its config says.
        dtype: Number format of the matrix products.
        device: Where to compute.

    Raises:
        ModelError: A tensor is missing or has another size than config.json says.
    """

    max_length = None  # rotary positions have no end

    def __init__(self, weights: Weights, settings: Settings, dtype: torch.dtype, device: torch.device) -> None:
        if dtype == torch.float16 and settings.family.scales_embeddings:
            dtype = torch.float32  # Gemma's values are too large for float16
        names, prefix = _layout(weights, settings)
        load = LayerLoader(weights, prefix, dtype, device)
        self.settings, self.dtype, self.device = settings, dtype, device
        self.words = load.tensor(f"{names.words}.weight")
        check_width(settings.width, self.dimension)
        self.segments = load.tensor(f"{names.segments}.weight") if settings.has_segments else None
        self.embedding_norm = _norm(load, settings, names.embedding_norm)
        self.layers = [_layer(load, settings, names, i) for i in range(len(settings.layers))]
        self.final_norm = _norm(load, settings, names.final_norm)
        weights.check_all_read(prefix)

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
        settings, x = self.settings, self._embed(batch)
        turns, mix = self._turns(batch), attention(batch.groups, self.device)
        for layer in self.layers:
            batch.layers += [x] * settings.keeps_layers
            qkv = layer.qkv(layer.attention.read(x, self.dtype))
            self._turn(qkv, layer.head_norm, turns[id(layer.kind)])
            window = layer.kind.window
            mixed = mix(qkv, settings.heads, kv_heads=settings.kv_heads, causal=settings.causal, window=window)
            x = layer.attention.join(mixed, x)
            inner = layer.feed.read(x, self.dtype)
            if layer.gate is None:
                inner = layer.up(inner, settings.activation)
            else:
                inner = layer.up.times(inner, layer.gate(inner, settings.activation))
            x = layer.feed.join(inner, x)
        batch.hidden = (x if self.final_norm is None else self.final_norm(x)).to(self.dtype)
        batch.layers += [batch.hidden] * settings.keeps_layers
        return batch

    def _embed(self, batch: Packed) -> torch.Tensor:
        x = F.embedding(batch.ids, self.words).float()
        if self.settings.embedding_scale != 1:
            x *= self.settings.embedding_scale
        if self.segments is not None:
            x += self.segments[0] if batch.types is None else F.embedding(batch.types, self.segments)
        x = x if self.embedding_norm is None else self.embedding_norm(x)
        return x if self.layers[0].feed.total is None else x.to(self.dtype)

    def _turns(self, batch: Packed) -> dict[int, Turn]:
        """Return, for each kind of layer, cosine and sine of the angles of each token: [tokens, 1, half a head]."""
        positions = torch.from_numpy(batch.positions()).to(self.device)[:, None, None].float()
        turns = {}
        for kind in {id(kind): kind for kind in self.settings.layers}.values():
            angles = positions * kind.frequencies.to(self.device)
            turns[id(kind)] = (angles.cos() * kind.factor, angles.sin() * kind.factor)
        return turns

    def _turn(self, qkv: torch.Tensor, norm: RmsNorm | None, turn: Turn) -> None:
        """Normalise the queries and keys of [tokens, all heads * head size] and turn them by their angles, in place."""
        cosine, sine = turn
        size, turned = self.settings.head_size, self.settings.heads + self.settings.kv_heads
        both = qkv.unflatten(1, (-1, size))[:, :turned]
        x = both.float()
        if norm is not None:
            x = F.rms_norm(x, (size,), None, norm.eps) * norm.weight
        first, second = x.chunk(2, dim=2)
        left = first * cosine - second * sine
        both[:, :, size // 2 :] = second * cosine + first * sine
        both[:, :, : size // 2] = left


def _layout(weights: Weights, settings: Settings) -> tuple[Names, str]:
    """Return the names under which the weights are stored, and what precedes them, such as "model."."""
    for names in settings.family.layouts:
        first = f"{names.layer.format(i=0)}{names.qkv[0]}.weight"
        for name in weights:
            if name.endswith(first) and name.removesuffix(first)[-1:] in ("", "."):
                return names, name.removesuffix(first)
    raise ModelError(f"{weights.folder} has no tensor {first!r}.", "name a folder that holds a transformers encoder.")


def _layer(load: LayerLoader, settings: Settings, names: Names, i: int) -> Layer:
    base = names.layer.format(i=i)

    # CUDA's LayerNorm wants its weights in the number format of its input.
    sum_type = torch.float32 if load.device.type == "cpu" else load.dtype

    def part(last: str, bias: bool, before: str, after: str, total: str) -> Part:
        norms = [_norm(load, settings, base + name if name else "") for name in (before, after)]
        total_norm = _norm(load, settings, base + total if total else "", sum_type)
        return Part(norms[0], load.linear(base + last, bias=bias), norms[1], total_norm)

    before = names.attention_norm if i or names.first_attention_norm else ""
    gate, up = _feed(load, settings, names, base)
    return Layer(
        kind=settings.layers[i],
        attention=part(names.out, "out" in settings.biases, before, names.attention_after, names.attention_sum),
        qkv=_qkv(load, settings, names, base),
        head_norm=_head_norm(load, settings, names, base),
        feed=part(names.down, "down" in settings.biases, names.feed_norm, names.feed_after, names.feed_sum),
        up=up,
        gate=gate,
    )


def _qkv(load: LayerLoader, settings: Settings, names: Names, base: str) -> Linear:
    queries, size = settings.heads * settings.head_size, settings.head_size
    stored = [base + name for name in names.qkv]
    scale = 1.0 if names.q_norm else settings.score_scale
    qkv = load.linear(*stored, scale=scale, rows=queries, bias="qkv" in settings.biases)
    if qkv.weight.shape[0] != queries + 2 * settings.kv_heads * size:
        problem = (
            f"config.json says {settings.heads} and {settings.kv_heads} attention heads of {size}, "
            f"which the {qkv.weight.shape[0]} rows of {stored[0]} cannot have."
        )
        raise ModelError(problem, "the files are of two models: copy or download all of them again.")
    return qkv


def _head_norm(load: LayerLoader, settings: Settings, names: Names, base: str) -> RmsNorm | None:
    if not names.q_norm:
        return None
    offset = settings.family.norm_offset
    q, k = (load.tensor(f"{base}{name}.weight", torch.float32) + offset for name in (names.q_norm, names.k_norm))
    q = (q * settings.score_scale).expand(settings.heads, -1)
    return RmsNorm(torch.cat([q, k.expand(settings.kv_heads, -1)]), settings.eps)


def _feed(load: LayerLoader, settings: Settings, names: Names, base: str) -> tuple[Linear | None, Linear]:
    """Return the gate, or None, and the first projection of the feed-forward."""
    bias = "feed" in settings.biases
    if names.gate == names.up:
        halves = load.halves(base + names.up, bias)
        return halves if names.gate_first else halves[::-1]
    gate = load.linear(base + names.gate, bias=bias) if names.gate else None
    return gate, load.linear(base + names.up, bias=bias)


def _norm(load: LayerLoader, settings: Settings, name: str, dtype: torch.dtype = torch.float32) -> Norm | None:
    if not name:
        return None
    if settings.family.rms:
        return load.rms_norm(name, settings.eps, settings.family.norm_offset)
    return load.norm(name, settings.eps, dtype, settings.norm_bias)

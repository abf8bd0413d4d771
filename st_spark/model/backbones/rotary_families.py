"""The model families with rotary positions, and what their configs say.

To add a family, add a row to _FAMILIES. For a setting that the packed forward does not know, read_settings must return
None: transformers then computes the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from st_spark.model.backbones.layers import ACTIVATIONS
from st_spark.model.backbones.rotary_names import AFTER, GEMMA, GTE, JINA, MODERNBERT, NAMES, NOMIC, QWEN3, Names

if TYPE_CHECKING:
    import torch

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class Family:
    """What the models of one family have in common. A str is the name of a setting in config.json.

    Attributes:
        layouts: The names under which its weights are stored; transformers and the hub may differ.
        biases: The parts of a layer that have a bias: qkv, out, feed (up and gate), down.
        causal: Whether a token sees only the tokens before it, unless the config says otherwise.
        slides: Whether all layers have the window of the config.
        has_layer_types: Whether the config's layer_types name the layers that have it.
        can_turn: Whether use_bidirectional_attention lets tokens see the ones after them. Other families ignore it.
        window_includes_end: Whether a token sees the token that is exactly the window away.
        rms: Whether the norms are RMS norms.
        norm_offset: What is added to the weights of the norms.
        norm_bias: Whether the norms have a bias.
        scales_embeddings: Whether word embeddings are multiplied by the square root of the width.
    """

    layouts: tuple[Names, ...]
    biases: Mapping[str, bool | str]
    causal: bool = True
    slides: bool = False
    has_layer_types: bool = False
    can_turn: bool = False
    window_includes_end: bool = False
    rms: bool = True
    norm_offset: float = 0.0
    norm_bias: bool | str = True
    eps: str = "rms_norm_eps"
    activation: str = "hidden_act"
    head_scale: str = "head_dim"
    scales_embeddings: bool = False


_ATTENTION = {"qkv": "attention_bias", "out": "attention_bias"}
_ALL = {"qkv": True, "out": True, "feed": True, "down": True}
_LLAMA = Family((NAMES,), {**_ATTENTION, "feed": "mlp_bias", "down": "mlp_bias"})
_ENCODER = Family((AFTER,), {}, causal=False, rms=False, eps="layer_norm_eps")
_FAMILIES = {
    "llama": _LLAMA,
    "eurobert": replace(_LLAMA, causal=False),
    "mistral": Family((NAMES,), {}, slides=True),
    "ministral": Family((NAMES,), {}, has_layer_types=True),
    "qwen2": Family((NAMES,), {"qkv": True}, has_layer_types=True),
    "qwen3": Family((QWEN3,), _ATTENTION, has_layer_types=True),
    "gemma3_text": Family(
        (GEMMA,),
        _ATTENTION,
        norm_offset=1.0,
        activation="hidden_activation",
        head_scale="query_pre_attn_scalar",
        scales_embeddings=True,
        has_layer_types=True,
        can_turn=True,
    ),
    "modernbert": Family(
        (MODERNBERT,),
        {**_ATTENTION, "feed": "mlp_bias", "down": "mlp_bias"},
        causal=False,
        has_layer_types=True,
        window_includes_end=True,
        rms=False,
        norm_bias="norm_bias",
        eps="norm_eps",
        activation="hidden_activation",
    ),
    "nomic_bert": replace(_ENCODER, layouts=(NOMIC, AFTER)),
    "gte": replace(_ENCODER, layouts=(GTE, AFTER), biases={"qkv": True, "out": True, "down": True}),
    "jina_embeddings_v3": replace(
        _ENCODER, layouts=(JINA, replace(AFTER, up="mlp.fc1", gate="", down="mlp.fc2")), biases=_ALL
    ),
}


@dataclass(frozen=True)
class Kind:
    """A kind of layer.

    Attributes:
        window: How far away a token sees others, or None.
        frequencies: [half a head] how far each pair of features turns from a token to the next.
        factor: What the cosine and sine of the angles are multiplied by.
    """

    window: int | None
    frequencies: "torch.Tensor"
    factor: float


@dataclass(frozen=True)
class Settings:
    """What the forward needs to know of a config; the names are the names of the config, or of Family."""

    family: Family
    width: int
    heads: int
    kv_heads: int
    head_size: int
    score_scale: float
    eps: float
    activation: str
    biases: frozenset[str]
    norm_bias: bool
    causal: bool
    embedding_scale: float
    has_segments: bool
    layers: tuple[Kind, ...]
    keeps_layers: bool


def read_settings(config: Any) -> Settings | None:  # noqa: ANN401  (a transformers config of any class)
    """Return what a transformers config says, or None if this forward does not cover it."""
    family = _FAMILIES.get(config.model_type)
    if family is None or not _is_covered(config, family):
        return None
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    turned = family.can_turn and config.use_bidirectional_attention
    both_ways = getattr(config, "is_causal", None) is False or turned
    default = SLIDING if family.slides and config.sliding_window else FULL
    names = getattr(config, "layer_types", None) or [default] * config.num_hidden_layers
    kinds = {name: _kind(config, family, name, size) for name in set(names)}
    if len(names) != config.num_hidden_layers or None in kinds.values():
        return None
    return Settings(
        family=family,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        head_size=size,
        score_scale=(getattr(config, family.head_scale, None) or size) ** -0.5,
        eps=getattr(config, family.eps),
        activation=ACTIVATIONS[getattr(config, family.activation)],
        biases=frozenset(part for part, setting in family.biases.items() if _setting(config, setting)),
        norm_bias=_setting(config, family.norm_bias),
        causal=family.causal and not both_ways,
        embedding_scale=config.hidden_size**0.5 if family.scales_embeddings else 1.0,
        has_segments=bool(family.layouts[0].segments and config.type_vocab_size),
        layers=tuple(kind for name in names if (kind := kinds[name])),
        keeps_layers=bool(config.output_hidden_states),
    )


def _is_covered(config: Any, family: Family) -> bool:  # noqa: ANN401
    return (
        getattr(config, family.activation) in ACTIVATIONS
        and getattr(config, "quantization_config", None) is None
        and getattr(config, "attn_logit_softcapping", None) is None
        # transformers' attention would depend on the padding.
        and not (getattr(config, "is_causal", None) and not family.causal)
        # transformers would count the window in another way.
        and not (getattr(config, "is_causal", None) is False and getattr(config, "sliding_window", None))
        # transformers ignores layer_types here.
        and (family.has_layer_types or set(getattr(config, "layer_types", None) or ()) <= {FULL})
        and not (family.slides and getattr(config, "layer_types", None))
    )


def _kind(config: Any, family: Family, name: str, size: int) -> Kind | None:  # noqa: ANN401
    """Return a kind of layer by its name in layer_types; None for one that this forward does not know."""
    ropes = config.rope_parameters or {}
    rope = ropes.get(name, ropes)
    turns = _frequencies(config, rope, name if name in ropes else None, size)
    if name not in (FULL, SLIDING) or turns is None or (name == SLIDING and not config.sliding_window):
        return None
    window = None
    if name == SLIDING:
        window = config.sliding_window if family.window_includes_end else config.sliding_window - 1
    return Kind(window, *turns)


def _frequencies(
    config: Any,  # noqa: ANN401
    rope: Mapping[str, Any],
    layer_type: str | None,
    size: int,
) -> "tuple[torch.Tensor, float] | None":
    """Return the frequencies of RoPE and their factor; None where they depend on the text or turn part of a head."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    kind = rope.get("rope_type", "default")
    if kind == "default":
        powers = torch.arange(0, size, 2, dtype=torch.float) / size
        turns, factor = 1.0 / (rope["rope_theta"] ** powers), 1.0
    elif kind in ("linear", "llama3", "yarn"):
        turns, factor = ROPE_INIT_FUNCTIONS[kind](config, layer_type=layer_type)
    else:
        return None
    whole = 2 * len(turns) == size and rope.get("partial_rotary_factor", 1.0) == 1.0
    return (turns, factor) if whole else None


def _setting(config: Any, value: bool | str) -> bool:  # noqa: ANN401
    """Return a value, or the setting of the config that it names."""
    return bool(getattr(config, value)) if isinstance(value, str) else value

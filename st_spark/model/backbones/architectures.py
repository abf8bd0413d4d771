"""Where the encoder families keep their weights, so that one packed forward serves them all.

The names are those of transformers' modeling files (bert, roberta, xlm_roberta, camembert, distilbert, mpnet).
"""

from dataclasses import dataclass
from typing import Any

from st_spark.model.backbones.layers import ACTIVATIONS


@dataclass(frozen=True)
class Architecture:
    """Names of one family's weights below the model's prefix; {i} is the layer.

    Attributes:
        layer: Prefix of a layer.
        query: Query projection, below layer; key, value and out likewise.
        attention_norm: LayerNorm behind attention; output_norm behind the feed-forward.
        up: First feed-forward projection; down the second.
        after_padding: Positions count from padding_idx + 1 and skip padding tokens, instead of from 0.
        relative_bias: Table of a learned bias by relative position, or None.
        sizes: Names in config.json of (layers, heads, activation, layer norm epsilon or its fixed value).
    """

    layer: str
    query: str
    key: str
    value: str
    out: str
    attention_norm: str
    up: str
    down: str
    output_norm: str
    after_padding: bool = False
    relative_bias: str | None = None
    sizes: tuple[str, str, str, str | float] = (
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_act",
        "layer_norm_eps",
    )


_BERT = Architecture(
    layer="encoder.layer.{i}.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    out="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    output_norm="output.LayerNorm",
)
_ROBERTA = Architecture(**{**vars(_BERT), "after_padding": True})
_DISTILBERT = Architecture(
    layer="transformer.layer.{i}.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    out="attention.out_lin",
    attention_norm="sa_layer_norm",
    up="ffn.lin1",
    down="ffn.lin2",
    output_norm="output_layer_norm",
    sizes=("n_layers", "n_heads", "activation", 1e-12),
)
_MPNET = Architecture(
    layer="encoder.layer.{i}.",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    out="attention.attn.o",
    attention_norm="attention.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    output_norm="output.LayerNorm",
    after_padding=True,
    relative_bias="encoder.relative_attention_bias.weight",
)
_FAMILIES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "mpnet": _MPNET,
}


def find(config: Any) -> Architecture | None:  # noqa: ANN401  (a transformers config of any class)
    """The family of a transformers config, or None where the packed forward does not cover it."""
    architecture = _FAMILIES.get(config.model_type)
    if architecture is None:
        return None
    plain = (
        getattr(config, architecture.sizes[2]) in ACTIVATIONS
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "add_cross_attention", False)
    )
    return architecture if plain else None

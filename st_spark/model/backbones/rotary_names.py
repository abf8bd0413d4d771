"""Names of the weights of the model families with rotary positions, in checkpoints of the hub and of transformers."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Names:
    """Names of the weights in a checkpoint; {i} is the layer's number, "" stands for what the family lacks.

    Attributes:
        words: Word embeddings.
        layer: Prefix of a layer; the names below it follow it.
        qkv: Query, key and value projection, or one name if they are stored as one.
        out: Output projection of the attention.
        down: Last projection of the feed-forward.
        up: First projection of the feed-forward.
        gate: Projection whose activation multiplies `up`. With the name of `up` both are stored as one.
        gate_first: If they are stored as one, whether the gate is the first half.
        q_norm: Norm of each query head.
        k_norm: Norm of each key head.
        attention_norm: Norm before the attention.
        attention_after: Norm of the attention's output, before the residual sum.
        attention_sum: Norm of the residual sum.
        feed_norm: Norm before the feed-forward.
        feed_after: Norm of its output.
        feed_sum: Norm of the residual sum.
        first_attention_norm: Whether the first layer has a norm before the attention.
        segments: Embeddings of the segments.
        embedding_norm: Norm of the embeddings.
        final_norm: Norm after the last layer.
    """

    words: str
    layer: str
    qkv: tuple[str, ...]
    out: str
    down: str
    up: str
    gate: str = ""
    gate_first: bool = True
    q_norm: str = ""
    k_norm: str = ""
    attention_norm: str = ""
    attention_after: str = ""
    attention_sum: str = ""
    feed_norm: str = ""
    feed_after: str = ""
    feed_sum: str = ""
    first_attention_norm: bool = True
    segments: str = ""
    embedding_norm: str = ""
    final_norm: str = ""


NAMES = Names(
    words="embed_tokens",
    layer="layers.{i}.",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    out="self_attn.o_proj",
    down="mlp.down_proj",
    up="mlp.up_proj",
    gate="mlp.gate_proj",
    attention_norm="input_layernorm",
    feed_norm="post_attention_layernorm",
    final_norm="norm",
)
QWEN3 = replace(NAMES, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")
# Encoders that normalise after each part, as BERT does; the names in transformers.
AFTER = replace(
    NAMES,
    words="embeddings.word_embeddings",
    segments="embeddings.token_type_embeddings",
    embedding_norm="embeddings.LayerNorm",
    attention_norm="",
    attention_sum="post_attention_layernorm",
    feed_norm="",
    feed_sum="post_mlp_layernorm",
    final_norm="",
)
MODERNBERT = Names(
    words="embeddings.tok_embeddings",
    layer="layers.{i}.",
    qkv=("attn.Wqkv",),
    out="attn.Wo",
    down="mlp.Wo",
    up="mlp.Wi",
    gate="mlp.Wi",
    attention_norm="attn_norm",
    feed_norm="mlp_norm",
    first_attention_norm=False,
    embedding_norm="embeddings.norm",
    final_norm="final_norm",
)
NOMIC = replace(
    AFTER,
    layer="encoder.layers.{i}.",
    qkv=("attn.Wqkv",),
    out="attn.out_proj",
    down="mlp.fc2",
    up="mlp.fc11",
    gate="mlp.fc12",
    attention_sum="norm1",
    feed_sum="norm2",
    embedding_norm="emb_ln",
)
GTE = replace(
    AFTER,
    layer="encoder.layer.{i}.",
    qkv=("attention.qkv_proj",),
    out="attention.o_proj",
    up="mlp.up_gate_proj",
    gate="mlp.up_gate_proj",
    gate_first=False,
    attention_sum="attn_ln",
    feed_sum="mlp_ln",
)
JINA = replace(NOMIC, qkv=("mixer.Wqkv",), out="mixer.out_proj", up="mlp.fc1", gate="")
GEMMA = replace(
    QWEN3,
    attention_after="post_attention_layernorm",
    feed_norm="pre_feedforward_layernorm",
    feed_after="post_feedforward_layernorm",
)

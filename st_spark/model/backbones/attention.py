"""Self-attention over packed tokens: each group of equally long texts is one batch, without padding or mask."""

import torch
import torch.nn.functional as F

from st_spark.model.inputs.batching import Group

# From this length on torch's blocked kernel is used. On a CPU it is slower than two batched products for short texts
# (12 heads of 32, Zen 4: 64 tokens 3.5 against 2.0 ms, 256 tokens 7.5 against 5.9 ms) and saves the memory of the
# [heads, n, n] scores for long ones.
_BLOCKED_FROM = 257


def attend(qkv: torch.Tensor, heads: int, groups: list[Group], bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return the multi-head attention of each text. The queries already hold the factor 1/sqrt(head size).

    Args:
        qkv: [tokens, 3 * width], queries, keys and values side by side.
        heads: Number of heads.
        groups: The groups of equally long texts that cover the tokens.
        bias: [heads, n, n] added to the scores of every text, n >= the longest length, or None.

    Returns:
        [tokens, width].
    """
    width = qkv.shape[1] // 3
    out = qkv.new_empty(qkv.shape[0], width)
    for group in groups:
        if group.length == 0:  # empty texts, from a tokenizer without special tokens
            continue
        shape = (group.count, group.length, 3, heads, width // heads)
        q, k, v = qkv[group.start : group.stop].view(shape).permute(2, 0, 3, 1, 4)
        part = None if bias is None else bias[:, : group.length, : group.length]
        blocked = group.length >= _BLOCKED_FROM or qkv.device.type == "cuda"
        mixed = F.scaled_dot_product_attention(q, k, v, part, scale=1.0) if blocked else _products(q, k, v, part)
        target = out[group.start : group.stop].view(group.count, group.length, heads, width // heads)
        target.copy_(mixed.transpose(1, 2))
    return out


def _products(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Compute scores, softmax and weighted sum as batched products; all [texts, heads, tokens, head size]."""
    texts, heads, length, size = q.shape
    flat = (texts * heads, length, size)
    scores = torch.bmm(q.reshape(flat), k.reshape(flat).transpose(1, 2))
    if bias is not None:
        scores.view(texts, heads, length, length).add_(bias)
    # In float32 for half types too: twice as fast on a CPU for texts of fewer than 64 tokens.
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype)
    return torch.bmm(weights, v.reshape(flat)).view(texts, heads, length, size)

"""Self-attention over packed tokens: each group of equally long texts is one batch, without padding or mask."""

from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F

from st_spark.model.inputs.batching import Group

# Without a mask, torch's blocked kernel takes less time than batched products on a CPU from so many tokens on: for half
# types, and for float32 (Zen 4, one thread). With a mask it takes 1.2 to 4 times as long for 8 to 2,048 tokens.
_BLOCKED_FROM, _BLOCKED_FROM_FLOAT32 = 1024, 128
# With a mask it is used if a key head and its queries have more scores than this, to save their memory.
_MOST_SCORES = 1 << 24
# Scores that are computed at a time: so many stay in cache. The scores of one key head are always computed together.
# Without this limit 8 texts of 256 tokens take four times as long: torch asks the system for memory in each layer.
_SCORES = 1 << 19
# A long text with a window is cut into strips of so many queries, each with the keys that it can reach.
_STRIP = 128


def attend(
    qkv: torch.Tensor,
    heads: int,
    groups: list[Group],
    bias: torch.Tensor | None = None,
    *,
    kv_heads: int | None = None,
    causal: bool = False,
    window: int | None = None,
) -> torch.Tensor:
    """Return the multi-head attention of each text. The queries already hold the scale of the scores.

    Args:
        qkv: [tokens, (heads + 2 * kv_heads) * head size], queries, keys and values side by side.
        heads: Number of query heads.
        groups: The groups of equally long texts that cover the tokens.
        bias: [heads, n, n] added to the scores of every text, n >= the longest length, or None.
        kv_heads: Number of key and value heads, a divisor of `heads`. Neighbouring query heads share one. Default all.
        causal: Whether a token sees only itself and the tokens before it.
        window: A token sees only tokens at most this far away. None for all. Not together with a bias.

    Returns:
        [tokens, heads * head size].
    """
    shared = kv_heads or heads
    size = qkv.shape[1] // (heads + 2 * shared)
    out = qkv.new_empty(qkv.shape[0], heads * size)
    for group in groups:
        n = group.length
        if n == 0:  # empty texts, from a tokenizer without special tokens
            continue
        parts = qkv[group.start : group.stop].view(group.count, n, heads + 2 * shared, size).transpose(1, 2)
        q, k, v = parts.split([heads, shared, shared], dim=1)
        target = out[group.start : group.stop].view(group.count, n, heads, size).transpose(1, 2)
        if window is None or n <= window + 1:
            target.copy_(_mix(q, k, v, None if bias is None else bias[:, :n, :n], causal))
            continue
        for start in range(0, n, _STRIP if n > 2 * _STRIP else n):
            stop = min(start + _STRIP, n) if n > 2 * _STRIP else n
            first, last = max(start - window, 0), stop if causal else min(stop + window, n)
            band = band_mask(_STRIP if n > 2 * _STRIP else _rounded(n), causal, window, q.dtype, q.device)
            seen = window - (start - first)  # the band begins with the first key that a query can reach
            mask = band[: stop - start, seen : seen + last - first]
            target[:, :, start:stop] = _mix(q[:, :, start:stop], k[:, :, first:last], v[:, :, first:last], mask)
    return out


def _mix(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, causal: bool = False
) -> torch.Tensor:
    """Return the values weighted by the softmax of the scores; q [texts, heads, n, size], k and v may have fewer heads.

    The mask is added to the scores. A causal attention has no mask and as many keys as queries.
    """
    n = q.shape[2]
    if mask is None:
        blocked = n >= (_BLOCKED_FROM_FLOAT32 if q.dtype == torch.float32 else _BLOCKED_FROM)
    else:
        blocked = n * k.shape[2] * (q.shape[1] // k.shape[1]) > _MOST_SCORES
    if blocked or q.device.type == "cuda":
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=1.0, enable_gqa=True)
    if causal and n > 1:
        mask = band_mask(_rounded(n), True, None, q.dtype, q.device)[:n, :n]
    return _products(q, k, v, mask)


def _products(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Compute scores, softmax and weighted sum as batched products. Query heads that share keys are stacked."""
    (texts, heads, n, size), (shared, keys) = q.shape, k.shape[1:3]
    q = q.reshape(texts * shared, -1, size)
    k, v = k.reshape(-1, keys, size).transpose(1, 2), v.reshape(-1, keys, size)
    if mask is not None:
        mask = mask.expand(heads, n, keys).unflatten(0, (shared, -1))
    out = q.new_empty(q.shape)  # contiguous, which q of a text alone is not
    for part in _parts(texts, shared, _SCORES // (q.shape[1] * keys)):
        scores = torch.bmm(q[part], k[part])
        if mask is not None:
            some = mask[part.start % shared :][: part.stop - part.start]
            scores.view(-1, *some.shape).add_(some)
        # In float32 for half types too: twice as fast on a CPU for texts of fewer than 64 tokens.
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype)
        torch.bmm(weights, v[part], out=out[part])
    return out.view(texts, heads, n, size)


def _parts(texts: int, heads: int, most: int) -> Iterator[slice]:
    """Cut the heads of texts into parts of at most `most` heads, or of one: some whole texts, or some heads of one."""
    most = max(most, 1)
    stretch, step = (texts * heads, most // heads * heads) if most >= heads else (heads, most)
    for start in range(0, texts * heads, stretch):
        stop = start + stretch
        yield from (slice(first, min(first + step, stop)) for first in range(start, stop, step))


@lru_cache(maxsize=32)
def band_mask(rows: int, causal: bool, window: int | None, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return [rows, rows + 2 * window], 0 where query i sees key j - window, and -inf elsewhere."""
    reach = window or 0
    distance = torch.arange(-reach, rows + reach)[None, :] - torch.arange(rows)[:, None]
    hidden = distance > 0 if causal else torch.zeros_like(distance, dtype=torch.bool)
    if window is not None:
        hidden |= distance.abs() > window
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf")).to(device)


def _rounded(n: int) -> int:
    """Return n rounded up to a multiple of 64, so that texts of several lengths share a mask."""
    return -(-n // 64) * 64

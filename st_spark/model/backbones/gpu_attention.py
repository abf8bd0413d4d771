"""Self-attention of many texts at once, for a GPU.

Without a bias, FlashAttention takes packed texts of any lengths in one kernel (Dao 2023,
https://arxiv.org/abs/2307.08691). It has no place for the bias that MPNet and T5 add to the scores, and knows no
float32; and GPUs before Ampere do not have it. Then texts of similar lengths are padded to the longest of them: some
ten kernels for texts of a hundred lengths.
"""

import threading
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from st_spark.model.backbones.grouped_attention import attend, band_mask
from st_spark.model.inputs.batching import Group, Lengths

# Texts are padded together if the shortest has this share of the longest one's tokens.
_SHARE = 0.75
# Longer texts are computed by groups: a micro-batch has few of them, and their padded scores would take much memory.
_PADDED_UP_TO = 512
# cuDNN, which torch prefers on Hopper, plans each new shape for milliseconds: MPNet took three times as long for
# passages. The choice is of the whole process, so one thread at a time makes it.
_KERNELS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
_CHOOSING = threading.Lock()
# Kernels want rows of the mask to start at multiples of 16 bytes.
_MULTIPLE = 8


class GpuAttention:
    """The attention of the texts of one micro-batch.

    Args:
        groups: The groups of equally long texts that cover the tokens.
        device: Where to compute.
        bias: [heads, n, n] added to the scores of every text, n >= the longest length, or None.
    """

    def __init__(self, groups: list[Group], device: torch.device, bias: torch.Tensor | None = None) -> None:
        self._groups, self._device, self._bias = groups, device, bias
        self._lengths: Lengths = np.repeat([g.length for g in groups], [g.count for g in groups]).astype(np.int64)
        self._longest = int(self._lengths.max(initial=0))
        self._ends: torch.Tensor | None = None
        self._padded: _Padded | None = None
        self._masks: dict[tuple[bool, int | None], list[torch.Tensor | None]] = {}

    def __call__(
        self,
        qkv: torch.Tensor,
        heads: int,
        *,
        kv_heads: int | None = None,
        causal: bool = False,
        window: int | None = None,
    ) -> torch.Tensor:
        """Return [tokens, heads * head size]; see attend()."""
        if self._bias is None and has_flash(qkv.dtype, qkv.shape[1] // (heads + 2 * (kv_heads or heads)), self._device):
            return self._flash(qkv, heads, kv_heads or heads, causal, window)
        if self._longest > _PADDED_UP_TO:
            return attend(qkv, heads, self._groups, self._bias, kv_heads=kv_heads, causal=causal, window=window)
        return self._pad(qkv, heads, kv_heads or heads, causal, window)

    def _flash(self, qkv: torch.Tensor, heads: int, shared: int, causal: bool, window: int | None) -> torch.Tensor:
        if self._ends is None:
            counted = np.concatenate([[0], np.cumsum(self._lengths)])
            self._ends = torch.from_numpy(counted).to(self._device, torch.int32)
        size = qkv.shape[1] // (heads + 2 * shared)
        q, k, v = qkv.view(len(qkv), heads + 2 * shared, size).split([heads, shared, shared], dim=1)
        ends, longest = self._ends, self._longest
        sizes = {"window_size_left": window, "window_size_right": 0 if causal else window}
        flash = torch.ops.aten._flash_attention_forward
        mixed: torch.Tensor = flash(q, k, v, ends, ends, longest, longest, 0.0, causal, False, scale=1.0, **sizes)[0]
        return mixed.flatten(1)

    def _pad(self, qkv: torch.Tensor, heads: int, shared: int, causal: bool, window: int | None) -> torch.Tensor:
        plan = self._padded = self._padded or _Padded(self._lengths, self._device)
        if (causal, window) not in self._masks:
            self._masks[causal, window] = plan.masks(self._bias, qkv.dtype, causal, window)
        padded = qkv.new_zeros(plan.size, qkv.shape[1]).index_copy_(0, plan.places, qkv)
        size = qkv.shape[1] // (heads + 2 * shared)
        mixed = qkv.new_empty(plan.size, heads * size)
        with _CHOOSING, sdpa_kernel(_KERNELS):
            for (start, count, n), mask in zip(plan.buckets, self._masks[causal, window], strict=True):
                part = slice(start, start + count * n)
                parts = padded[part].view(count, n, heads + 2 * shared, size).transpose(1, 2)
                q, k, v = parts.split([heads, shared, shared], dim=1)
                found = F.scaled_dot_product_attention(q, k, v, mask, scale=1.0, enable_gqa=heads != shared)
                mixed[part].view(count, n, heads, size).copy_(found.transpose(1, 2))
        return mixed.index_select(0, plan.places)


class _Padded:
    """Where the tokens of texts are when texts of similar lengths are padded to one length.

    Attributes:
        buckets: Of the texts that are padded together: their first padded row, their number, and their padded length.
        size: Number of padded rows.
        places: [tokens] the padded row of each token.
    """

    def __init__(self, lengths: Lengths, device: torch.device) -> None:
        self._lengths, self._device = lengths, device
        self.buckets: list[tuple[int, int, int]] = []
        self._texts: list[slice] = []
        self.size = 0
        starts = np.zeros(len(lengths), np.int64)
        for texts in _similar(lengths):
            n = -(-max(int(lengths[texts].max()), 1) // _MULTIPLE) * _MULTIPLE
            count = texts.stop - texts.start
            starts[texts] = self.size + np.arange(count) * n
            self.buckets.append((self.size, count, n))
            self._texts.append(texts)
            self.size += count * n
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self.places = torch.from_numpy(np.repeat(starts, lengths) + within).to(device)

    def masks(
        self, bias: torch.Tensor | None, dtype: torch.dtype, causal: bool, window: int | None
    ) -> list[torch.Tensor | None]:
        """Return what is added to the scores of each bucket, [texts or 1, heads or 1, n, n]; None for nothing."""
        return [
            self._mask(n, self._lengths[texts], bias, dtype, causal, window)
            for (_, _, n), texts in zip(self.buckets, self._texts, strict=True)
        ]

    def _mask(
        self,
        n: int,
        lengths: Lengths,
        bias: torch.Tensor | None,
        dtype: torch.dtype,
        causal: bool,
        window: int | None,
    ) -> torch.Tensor | None:
        mask = None
        if bias is not None:
            short = max(n - bias.shape[1], 0)
            mask = F.pad(bias, (0, short, 0, short))[:, :n, :n].contiguous()
        if causal or window is not None:
            reach = None if window is None else min(window, n)
            hidden = band_mask(n, causal, reach, dtype, self._device)[:, (reach or 0) : (reach or 0) + n]
            mask = hidden if mask is None else mask + hidden
        if (lengths < n).any():
            keys = torch.from_numpy(np.arange(n) >= lengths[:, None]).to(self._device)[:, None, None]
            padding = torch.zeros(keys.shape, dtype=dtype, device=self._device).masked_fill_(keys, float("-inf"))
            mask = padding if mask is None else mask + padding
        return mask if mask is None or mask.dim() == 4 else mask.expand(1, *mask.shape[-3:])


def _similar(lengths: Lengths) -> list[slice]:
    """Cut texts into runs of neighbours that are padded together."""
    runs, start = [], 0
    for i in range(1, len(lengths) + 1):
        if i == len(lengths) or not _SHARE * lengths[start] <= lengths[i] <= lengths[start]:
            runs.append(slice(start, i))
            start = i
    return runs


@lru_cache(maxsize=64)
def has_flash(dtype: torch.dtype, size: int, device: torch.device) -> bool:
    """Return whether torch has FlashAttention for heads of a size on a device; it is not part of torch's public API."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16) or size % 8:
        return False
    x = torch.zeros(8, 1, size, dtype=dtype, device=device)
    ends = torch.tensor([0, 3, 8], dtype=torch.int32, device=device)
    try:
        torch.ops.aten._flash_attention_forward(x, x, x, ends, ends, 5, 5, 0.0, False, False, scale=1.0)
    except (AttributeError, RuntimeError):
        return False
    return True

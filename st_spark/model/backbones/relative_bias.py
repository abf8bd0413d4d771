"""A learned bias on attention scores by the relative position of query and key."""

import math

import torch
import torch.nn.functional as F


class RelativeBias:
    """Bias of MPNet and T5; one matrix serves all lengths up to its own, by its upper left corner.

    Args:
        table: [buckets, heads].
        dtype: Of the scores.
        device: Where.
        max_distance: See relative_buckets.
    """

    def __init__(self, table: torch.Tensor, dtype: torch.dtype, device: torch.device, max_distance: int = 128) -> None:
        self._table, self._dtype, self._max_distance = table.to(device), dtype, max_distance
        self._largest = torch.empty(0, 0, 0)

    def __call__(self, length: int) -> torch.Tensor:
        """[heads, n, n]; n >= length."""
        bias = self._largest  # read once: other lanes may replace it
        if bias.shape[1] < length:
            offsets = torch.arange(length)[None, :] - torch.arange(length)[:, None]
            buckets = relative_buckets(offsets, self._table.shape[0], self._max_distance)
            bias = F.embedding(buckets.to(self._table.device), self._table)
            bias = bias.permute(2, 0, 1).to(self._dtype).contiguous()
            self._largest = bias
        return bias


def relative_buckets(offsets: torch.Tensor, buckets: int, max_distance: int = 128) -> torch.Tensor:
    """T5's bidirectional buckets of relative positions: exact when near, logarithmic when far.

    Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), section 2.1; MPNet uses the same with 32 buckets.

    Args:
        offsets: Place of the key less place of the query.
        buckets: How many there are for both directions together.
        max_distance: All offsets beyond share the last bucket.
    """
    half = buckets // 2
    exact = half // 2
    distance = offsets.abs()
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (half - exact)
    bucket = torch.where(distance < exact, distance, (exact + far.long()).clamp(max=half - 1))
    return bucket + (offsets > 0).long() * half

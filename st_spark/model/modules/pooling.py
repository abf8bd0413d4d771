"""Pooling: the token embeddings of a text to one vector, in every mode of sentence-transformers."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.inputs.batching import Group, Lengths
from st_spark.model.inputs.packed import Packed
from st_spark.model.modules.interfaces import Module

# The flags of old configs, in the order in which several modes are concatenated.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Modes that take few kernels for all texts together. On a GPU a group of texts takes as long as the start of a kernel.
_AT_ONCE = frozenset(["cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken"])
# 5,000 float32 rows added one after another have an error of 1e-4. Sums of the sums of pieces keep it at 1e-6.
_PIECE = 64


class Pooling(Module):
    """Reduces the tokens of each text to one vector; the vectors of several modes are concatenated.

    Attributes:
        modes: Any of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken.
        include_prompt: Whether the tokens of a prompt count; they always take part in attention.
    """

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.modes = _modes(spec)
        self.include_prompt = bool(spec.config.get("include_prompt", True))

    def __call__(self, batch: Packed) -> Packed:
        """Fill in float32 vectors, [texts, modes * width]."""
        if batch.table is not None and self.modes == ("mean",):  # four times as fast as with the rows written out
            batch.vectors = mean_rows(batch.ids, batch.table, batch.lengths)
            return batch
        hidden = batch.token_embeddings()
        skip = 0 if self.include_prompt else batch.prompt_length
        exact = hidden.dtype is torch.float32  # long sums in float32 need the way below
        if hidden.is_cuda and not (exact or skip or batch.token_weights is not None) and set(self.modes) <= _AT_ONCE:
            batch.vectors = pool_at_once(hidden, batch.lengths, self.modes)
            return batch
        parts = []
        for group in batch.groups:
            tokens = hidden[group.start : group.stop].view(group.count, group.length, hidden.shape[1])
            total = _total_weight(batch.token_weights, group)
            parts.append(torch.cat([_pool(tokens, mode, skip, total) for mode in self.modes], dim=1))
        batch.vectors = torch.cat(parts)
        return batch

    def dimension(self, width: int) -> int:
        """Return the size of the vectors."""
        return width * len(self.modes)


def _modes(spec: ModuleSpec) -> tuple[str, ...]:
    """Read the modes from a new or an old config; mean if it names none."""
    config = spec.config
    mode = config.get("pooling_mode")
    if mode is None:
        return tuple(name for flag, name in _FLAGS.items() if config.get(flag)) or ("mean",)
    modes = tuple(mode) if isinstance(mode, list) else (mode,)
    unknown = [name for name in modes if name not in _FLAGS.values()]
    if unknown:
        raise ModelError(
            f"{spec.path}/config.json: pooling mode {unknown[0]!r} is unknown.",
            f"choose from {', '.join(_FLAGS.values())}.",
        )
    return modes


def _total_weight(weights: torch.Tensor | None, group: Group) -> torch.Tensor | None:
    """Return [texts, 1], the sum of the token weights of each text of a group."""
    if weights is None:
        return None
    return weights[group.start : group.stop].view(group.count, group.length).sum(1, keepdim=True).clamp(min=1e-9)


def _pool(tokens: torch.Tensor, mode: str, skip: int, total: torch.Tensor | None) -> torch.Tensor:
    """Pool [texts, tokens, width], without the first `skip` tokens, to float32 [texts, width].

    If the tokens have weights, the means are the sums divided by the total weight.
    """
    kept = tokens[:, min(skip, tokens.shape[1]) :]
    if kept.shape[1] == 0:  # the prompt fills the whole text, or the text has no tokens
        return _pool_nothing(tokens, mode)
    if mode == "cls":
        return kept[:, 0].float()
    if mode == "lasttoken":
        return kept[:, -1].float()
    if mode == "max":
        return kept.amax(dim=1).float()
    if mode == "weightedmean":  # the weight is the position in the text, counted from 1, prompt included
        places = torch.arange(tokens.shape[1] - kept.shape[1] + 1, tokens.shape[1] + 1, device=tokens.device).float()
        return torch.einsum("tlw,l->tw", kept.float(), places) / (places.sum() if total is None else total)
    count: float | torch.Tensor = kept.shape[1] if total is None else total
    return kept.sum(dim=1, dtype=torch.float32) / (count if mode == "mean" else count**0.5)


def pool_at_once(hidden: torch.Tensor, lengths: Lengths, modes: Sequence[str]) -> torch.Tensor:
    """Pool texts of any lengths together.

    Args:
        hidden: [tokens, width] of all texts, one text after another.
        lengths: [texts] tokens of each text.
        modes: Some of _AT_ONCE.

    Returns:
        [texts, modes * width] float32; what _pool_nothing gives for a text without tokens.
    """
    counts = torch.from_numpy(lengths).to(hidden.device)
    ends = counts.cumsum(0)
    parts = []
    for mode in modes:
        if mode in ("cls", "lasttoken"):
            places = ends - counts if mode == "cls" else ends - 1
            rows = F.pad(hidden, (0, 0, 0, 1))  # a text without tokens reads zeros
            parts.append(rows[torch.where(counts > 0, places, len(hidden))].float())
        elif mode == "max":
            parts.append(torch.segment_reduce(hidden.float(), "max", lengths=counts, unsafe=True))
        else:
            total = torch.segment_reduce(hidden.float(), "sum", lengths=counts, unsafe=True)
            divisor = counts.clamp(min=1)[:, None]
            parts.append(total / (divisor if mode == "mean" else divisor**0.5))
    return torch.cat(parts, dim=1)


def _pool_nothing(tokens: torch.Tensor, mode: str) -> torch.Tensor:
    """Return what sentence-transformers gives if every token is masked."""
    if mode == "cls" and tokens.shape[1]:
        return tokens[:, 0].float()
    value = float("-inf") if mode == "max" else 0.0
    return torch.full((tokens.shape[0], tokens.shape[2]), value, dtype=torch.float32, device=tokens.device)


def mean_rows(ids: torch.Tensor, table: torch.Tensor, lengths: Lengths) -> torch.Tensor:
    """Return the mean of the table rows of each text (an embedding bag), without writing the rows out.

    Args:
        ids: [tokens] row numbers, one text after another.
        table: [rows, width] float32.
        lengths: [texts] tokens of each text.

    Returns:
        [texts, width], zeros for a text without tokens.
    """
    counts = torch.from_numpy(np.maximum(lengths, 1)).to(table.device)
    return _sum_rows(ids, table, lengths).div_(counts[:, None])


def _sum_rows(ids: torch.Tensor, table: torch.Tensor, lengths: Lengths) -> torch.Tensor:
    pieces = np.maximum(-(-lengths // _PIECE), 1)
    if len(pieces) == 0 or pieces.max() == 1:
        starts = torch.from_numpy(np.cumsum(lengths) - lengths).to(ids.device)
        return F.embedding_bag(ids, table, starts, mode="sum")
    parts = np.full(pieces.sum(), _PIECE)
    parts[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _PIECE
    sums = _sum_rows(ids, table, parts)
    return _sum_rows(torch.arange(len(sums), device=ids.device), sums, pieces)

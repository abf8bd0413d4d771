"""Pooling: token embeddings of a text to one vector, in every mode of sentence-transformers."""

from collections.abc import Mapping
from typing import Any

import torch

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.inputs.batching import Group
from st_spark.model.inputs.packed import Packed
from st_spark.model.modules.embedding_bag import mean_rows

# The old spelling's flags, in the order in which several of them are concatenated.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Pooling:
    """Reduces the tokens of each text; several modes are concatenated.

    Args:
        modes: Of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken.
        include_prompt: Whether the tokens of a prompt count; they always take part in attention.
    """

    def __init__(self, modes: tuple[str, ...], include_prompt: bool = True) -> None:
        unknown = set(modes) - set(_FLAGS.values())
        if unknown:
            raise ModelError(
                f"pooling mode {sorted(unknown)[0]!r} is unknown.", f"choose from {', '.join(_FLAGS.values())}."
            )
        self.modes = modes
        self.include_prompt = include_prompt

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Pooling":
        """Reads both spellings of Pooling/config.json; no mode at all means mean."""
        mode = config.get("pooling_mode")
        if mode is None:
            modes = tuple(name for flag, name in _FLAGS.items() if config.get(flag)) or ("mean",)
        else:
            modes = (mode,) if isinstance(mode, str) else tuple(mode)
        return cls(modes, bool(config.get("include_prompt", True)))

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "Pooling":
        """Has no weights."""
        return cls.from_config(spec.config)

    def __call__(self, batch: Packed) -> Packed:
        """Fills in [texts, modes * width] float32 vectors."""
        if batch.table is not None and self.modes == ("mean",):  # four times as fast as to write the tokens out
            batch.vectors = mean_rows(batch.ids, batch.table, batch.lengths)
            return batch
        hidden = batch.token_embeddings()
        skip = 0 if self.include_prompt else batch.prompt_length
        parts = []
        for group in batch.groups:
            tokens = hidden[group.start : group.stop].view(group.count, group.length, hidden.shape[1])
            total = _total(batch.token_weights, group)
            parts.append(torch.cat([_pool(tokens, mode, skip, total) for mode in self.modes], dim=1))
        batch.vectors = torch.cat(parts)
        return batch

    def dimension(self, width: int) -> int:
        """Size of the vectors made from tokens of that width."""
        return width * len(self.modes)


def _total(weights: torch.Tensor | None, group: Group) -> torch.Tensor | None:
    """[texts, 1] sum of the token weights of each text of a group."""
    if weights is None:
        return None
    return weights[group.start : group.stop].view(group.count, group.length).sum(1, keepdim=True).clamp(min=1e-9)


def _pool(tokens: torch.Tensor, mode: str, skip: int, total: torch.Tensor | None) -> torch.Tensor:
    """[texts, tokens, width] to float32 [texts, width], without the first `skip` tokens.

    Where the tokens have weights, their total divides the sums of the means.
    """
    kept = tokens[:, min(skip, tokens.shape[1]) :]
    if kept.shape[1] == 0:  # the prompt filled the whole text, or there are no tokens: nothing is left to pool
        return _pool_nothing(tokens, mode)
    if mode == "cls":
        return kept[:, 0].float()
    if mode == "lasttoken":
        return kept[:, -1].float()
    if mode == "max":
        return kept.amax(dim=1).float()
    if mode == "weightedmean":  # a token's weight is its place in the text, counted from 1, prompt included
        places = torch.arange(tokens.shape[1] - kept.shape[1] + 1, tokens.shape[1] + 1, device=tokens.device).float()
        return torch.einsum("tlw,l->tw", kept.float(), places) / (places.sum() if total is None else total)
    count: float | torch.Tensor = kept.shape[1] if total is None else total
    return kept.sum(dim=1, dtype=torch.float32) / (count if mode == "mean" else count**0.5)


def _pool_nothing(tokens: torch.Tensor, mode: str) -> torch.Tensor:
    """What sentence-transformers' masks give where every token is masked."""
    if mode == "cls" and tokens.shape[1]:
        return tokens[:, 0].float()
    value = float("-inf") if mode == "max" else 0.0
    return torch.full((tokens.shape[0], tokens.shape[2]), value, dtype=torch.float32, device=tokens.device)

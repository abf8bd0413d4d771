"""The data that passes from module to module: a micro-batch of texts, their tokens packed without padding."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.inputs.batching import Group, Lengths, equal_groups

_FIX = "copy or download the model again: its modules.json is broken or incomplete."


@dataclass
class Packed:
    """A micro-batch. Texts of equal length are neighbours, except in models that only sum rows of a table.

    Attributes:
        ids: [tokens] int64 token ids of all texts, one text after another, on the model's device.
        types: [tokens] int64 segment of each token (0, or 1 in the second text of a pair), or None.
        lengths: [texts] tokens of each text.
        prompt_length: Leading tokens of every text that pooling leaves out.
        hidden: [tokens, width] token embeddings, once computed.
        table: [words, width] word embeddings, indexed by ids; a mean pooling sums its rows without `hidden`.
        layers: The input of each layer and the output of the last one, if the model's config asks for them
            (output_hidden_states).
        token_weights: [tokens] float32 factors that the token embeddings were multiplied by, or None.
        vectors: [texts, dim] float32 sentence embeddings, once computed.
    """

    ids: torch.Tensor
    types: torch.Tensor | None
    lengths: Lengths
    prompt_length: int = 0
    hidden: torch.Tensor | None = None
    table: torch.Tensor | None = None
    layers: list[torch.Tensor] = field(default_factory=list)
    token_weights: torch.Tensor | None = None
    vectors: torch.Tensor | None = None

    @cached_property
    def groups(self) -> list[Group]:
        """Return the groups of texts of equal length, in order."""
        return equal_groups(self.lengths)

    def starts(self) -> torch.Tensor:
        """Return the index of the first token of each text, [texts], on the model's device."""
        return torch.from_numpy(np.cumsum(self.lengths) - self.lengths).to(self.ids.device)

    def positions(self) -> npt.NDArray[np.int64]:
        """Return the position of each token in its text, [tokens], from 0."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.arange(self.lengths.sum()) - np.repeat(starts, self.lengths)

    def token_embeddings(self) -> torch.Tensor:
        """Return the token embeddings of the module before, [tokens, width]."""
        if self.hidden is None and self.table is not None:
            self.hidden, self.table = F.embedding(self.ids, self.table), None
        if self.hidden is None:
            raise ModelError("a module reads token embeddings before any are computed.", _FIX)
        return self.hidden

    def sentence_embeddings(self) -> torch.Tensor:
        """Return the sentence embeddings of the module before, [texts, dim]."""
        if self.vectors is None:
            raise ModelError("the model has no pooling before a module that reads sentence embeddings.", _FIX)
        return self.vectors

"""What the modules of a model hand on: a micro-batch of texts, its tokens side by side without padding."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.inputs.batching import Group, Lengths, equal_groups

_CURE = "its modules.json is broken, or leaves a module out."


@dataclass
class Packed:
    """A micro-batch; texts of equal length stand together, where tokens are worth computing.

    Attributes:
        ids: [tokens] int64, the token ids of all texts, one after another, on the model's device.
        types: [tokens] int64, the segment of each token (0, or 1 in the second text of a pair), or None.
        lengths: [texts] tokens of each text.
        prompt_length: Leading tokens of every text that pooling leaves out.
        hidden: [tokens, width] token embeddings, once a module made them.
        table: [words, width] of which the ids name rows: token embeddings that nothing has needed one by one so far.
        layers: The token embeddings that enter each layer, and those of the last, where the config of the model
            asks for them (output_hidden_states).
        token_weights: [tokens] float32 by which a module has multiplied the token embeddings, or None.
        vectors: [texts, dim] float32 sentence embeddings, once a module made them.
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
        """The runs of equal length, in order."""
        return equal_groups(self.lengths)

    def starts(self) -> torch.Tensor:
        """[texts] place of the first token of each text among all tokens, on the model's device."""
        return torch.from_numpy(np.cumsum(self.lengths) - self.lengths).to(self.ids.device)

    def positions(self) -> npt.NDArray[np.int64]:
        """[tokens] place of each token in its text, from 0."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.arange(self.lengths.sum()) - np.repeat(starts, self.lengths)

    def token_embeddings(self) -> torch.Tensor:
        """[tokens, width] of the module before."""
        if self.hidden is None and self.table is not None:
            self.hidden, self.table = F.embedding(self.ids, self.table), None
        if self.hidden is None:
            raise ModelError("the model's token embeddings are read before any are made.", _CURE)
        return self.hidden

    def sentence_embeddings(self) -> torch.Tensor:
        """[texts, dim] of the module before."""
        if self.vectors is None:
            raise ModelError("the model has no pooling before what reads sentence embeddings.", _CURE)
        return self.vectors

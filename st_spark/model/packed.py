"""What the modules of a model hand on: a micro-batch of texts, its tokens side by side without padding."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from st_spark.model.batching import Group, Lengths, equal_groups


@dataclass
class Packed:
    """A micro-batch; texts of equal length stand together.

    Attributes:
        ids: [tokens] int64, the token ids of all texts, one after another, on the model's device.
        types: [tokens] int64, the segment of each token (0, or 1 in the second text of a pair), or None.
        lengths: [texts] tokens of each text.
        prompt_length: Leading tokens of every text that pooling leaves out.
        hidden: [tokens, width] token embeddings, once a module made them.
        vectors: [texts, dim] float32 sentence embeddings, once a module made them.
        groups: The runs of equal length, in order.
    """

    ids: torch.Tensor
    types: torch.Tensor | None
    lengths: Lengths
    prompt_length: int = 0
    hidden: torch.Tensor | None = None
    vectors: torch.Tensor | None = None
    groups: list[Group] = field(init=False)

    def __post_init__(self) -> None:
        """Derives the groups."""
        self.groups = equal_groups(self.lengths)

    def positions(self) -> npt.NDArray[np.int64]:
        """[tokens] place of each token in its text, from 0."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.arange(self.lengths.sum()) - np.repeat(starts, self.lengths)

    def token_embeddings(self) -> torch.Tensor:
        """[tokens, width] of the module before."""
        if self.hidden is None:
            raise AssertionError("a module that makes token embeddings stands before one that reads them")
        return self.hidden

    def sentence_embeddings(self) -> torch.Tensor:
        """[texts, dim] of the module before."""
        if self.vectors is None:
            raise AssertionError("a pooling stands before a module that reads sentence embeddings")
        return self.vectors

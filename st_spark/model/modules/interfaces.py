"""What the modules of a model offer to the encoder: the one place where a new kind of module plugs in.

A model is a list of modules. The first one, an InputModule, turns what the user gave into Inputs, of which the
encoder takes micro-batches; every module then works on a micro-batch in turn, and the last leaves sentence vectors.
The loaders of all kinds stand in st_spark.model.modules.registry.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.packed import Packed


class Module(Protocol):
    """One step of a model."""

    def __call__(self, batch: Packed) -> Packed:
        """Works on a micro-batch, in place: token embeddings in batch.hidden, float32 vectors in batch.vectors."""

    def dimension(self, width: int) -> int:
        """The width of what it makes, from the width of what comes in (0 into the first module)."""


class Inputs(Protocol):
    """n inputs that an InputModule has read: texts as tokens, or images.

    Attributes:
        lengths: [n] tokens of each, the work that it makes; 0 is allowed. embed() gives them as n_tokens.
        truncated: [n] whether something was cut off.
    """

    @property
    def lengths(self) -> Lengths: ...  # noqa: D102
    @property
    def truncated(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102

    def take(self, rows: npt.NDArray[np.int64], device: torch.device) -> Packed:
        """The micro-batch of these inputs, in the order of rows, which puts equal lengths together."""


class InputModule(Module, Protocol):
    """A module that can stand first.

    Attributes:
        dtype: What it computes in; the model's `dtype` tells it.
        max_length: Most tokens of an input, settable; None where there is no limit.
    """

    dtype: torch.dtype

    @property
    def max_length(self) -> int | None: ...  # noqa: D102
    @max_length.setter
    def max_length(self, value: int) -> None: ...

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Inputs:
        """Reads inputs, with the prompt before each.

        Raises:
            InputError: Something that it does not take, with its place.
        """

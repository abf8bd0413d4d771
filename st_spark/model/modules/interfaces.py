"""What a module offers to the encoder. A new kind of module derives from one of these classes.

A model is a list of modules. The first one is an InputModule: it turns what the user gave into Inputs, from which the
encoder takes micro-batches. Every module then works on a micro-batch in turn. The last one leaves sentence embeddings.
st_spark.model.modules.registry lists all kinds.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from st_spark.choices import MAX_IMAGE_PIXELS
from st_spark.errors import InputError, ModelError, check_count
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import NO_LIMIT, Tokenizer
from st_spark.model.inputs.word_tokenizer import SubwordTokenizer, WordTokenizer


class Module(ABC):
    """One step of a model.

    Args:
        spec: Folder and config of the module.
        dtype: Number format that the user chose. Small modules and word models compute in float32 all the same: they
            have little to speed up, and their rounding would show in the vectors.
        device: Where to compute.

    Raises:
        ModelError: A file is missing or broken.
    """

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:  # noqa: B027
        pass

    @abstractmethod
    def __call__(self, batch: Packed) -> Packed:
        """Work on a micro-batch in place: token embeddings in batch.hidden, float32 vectors in batch.vectors."""

    def dimension(self, width: int) -> int:
        """Return the width of the output, given the width of the input (0 for the first module).

        Raises:
            ModelError: The module cannot work on vectors of this width.
        """
        return width


def check_width(folder: Path, expected: int, width: int) -> None:
    """Raise ModelError unless a module gets the width of vectors that its folder says."""
    if expected != width:
        problem = f"{folder} is for vectors of {expected} dimensions, and the module before it gives {width}."
        raise ModelError(problem, "the folders are of two models: copy or download all of them again.")


class Inputs(Protocol):
    """n inputs that an InputModule has read: texts as tokens, or images.

    Attributes:
        lengths: [n] tokens of each input; 0 is allowed. embed() returns them as n_tokens.
        truncated: [n] whether something was cut off.
    """

    @property
    def lengths(self) -> Lengths: ...  # noqa: D102
    @property
    def truncated(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102

    def take(self, rows: npt.NDArray[np.int64], device: torch.device) -> Packed:
        """Return the micro-batch of these inputs, in the order of rows; equal lengths should be neighbours."""


class InputModule(Module):
    """A module that can come first, because it reads texts.

    Attributes:
        dtype: Number format of its computation, which the model reports as its dtype.
        tokenizer: Turns texts into tokens.
        pads: Whether texts of a micro-batch are padded to the longest.
        specials: How many special tokens a text gets.
        positions: How many tokens of a text the model can number.
        max_pixels: Maximum number of pixels of an image, if it reads images; see images.open_image.
    """

    dtype: torch.dtype = torch.float32
    pads = False
    specials = 0
    positions = NO_LIMIT
    max_pixels = MAX_IMAGE_PIXELS
    tokenizer: Tokenizer | WordTokenizer | SubwordTokenizer

    @property
    def max_length(self) -> int | None:
        """Maximum number of tokens of a text, special tokens included; None for no limit."""
        return self.tokenizer.max_length

    @max_length.setter
    def max_length(self, value: int | None) -> None:
        self.tokenizer.max_length = value

    def set_limits(self, specials: int, positions: int | None) -> None:
        """Store the number of special tokens and of positions (None for no limit), and keep to them."""
        self.specials, self.positions = specials, positions or NO_LIMIT
        self.max_length = min(self.tokenizer.max_length or NO_LIMIT, self.positions)

    def check_length(self, value: int) -> None:
        """Raise InputError unless the model can read texts of at most this many tokens."""
        check_length(value, self.specials, self.positions)

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Inputs:
        """Read inputs, with the prompt before each text.

        Raises:
            InputError: An input of another type; the message has its position.
        """
        return self.tokenizer(prefixed(inputs, prompt))

    def token_starts(self, text: str) -> Lengths:
        """Return where the tokens of a text start, without special tokens; max_length must be NO_LIMIT."""
        return self.tokenizer.token_starts(text)


def check_length(value: object, specials: int, positions: int) -> None:
    """Check that max_seq_length has room for a text and its special tokens, and that the model has the positions."""
    check_count("max_seq_length", value, 1 + specials)
    if value > positions:  # type: ignore[operator]  # check_count() has found a number
        problem = f"max_seq_length={value} is more than the {positions} positions of the model."
        raise InputError(problem, f"give at most {positions}.")

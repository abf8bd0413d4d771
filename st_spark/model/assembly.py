"""The description of a model to its modules: which class loads which kind.

To add a kind: a class that offers what st_spark.model.interfaces asks for, with a classmethod load(spec, dtype,
device), and one line in _LOADERS.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from st_spark.errors import ModelError
from st_spark.model.modules import Dense, Normalize
from st_spark.model.pooling import Pooling
from st_spark.model.transformer import Transformer

if TYPE_CHECKING:
    from st_spark.model.checkpoint import ModuleSpec
    from st_spark.model.interfaces import InputModule, Module

Loader = Callable[["ModuleSpec", torch.dtype, torch.device], "Module"]

_LOADERS: Mapping[str, Loader] = {
    "Transformer": Transformer.load,
    "Pooling": Pooling.load,
    "Dense": Dense.load,
    "Normalize": Normalize.load,
}


def load(spec: "ModuleSpec", dtype: torch.dtype, device: torch.device) -> "Module":
    """Loads one module with its weights.

    Raises:
        ModelError: Its kind is not supported, or its files are broken.
    """
    if spec.kind not in _LOADERS:
        raise ModelError(f"modules of kind {spec.kind} are not supported.", "choose a model without it.")
    return _LOADERS[spec.kind](spec, dtype, device)


def input_of(modules: "Sequence[Module]") -> "InputModule":
    """The first module, which has to be one that reads inputs.

    Raises:
        ModelError: It is of another kind.
    """
    first = modules[0]
    if not hasattr(first, "prepare"):
        raise ModelError(
            f"the model begins with {type(first).__name__}, which reads no texts.", "its modules.json is broken."
        )
    return first  # type: ignore[return-value]


def width_of(modules: "Sequence[Module]") -> int:
    """Size of the vectors that come out of the last module."""
    width = 0
    for module in modules:
        width = module.dimension(width)
    return width

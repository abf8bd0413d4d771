"""The modules behind the pooling: sentence embeddings to sentence embeddings, float32.

Dense and Normalize can also be told to work on token embeddings.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed

_log = logging.getLogger(__name__)


class Normalize:
    """Scales each vector to length 1; a zero vector stays zero.

    Args:
        tokens: Whether it works on token embeddings.
    """

    def __init__(self, tokens: bool = False) -> None:
        self.tokens = tokens

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "Normalize":
        """Has no weights."""
        return cls(spec.config.get("module_input_name") == "token_embeddings")

    def __call__(self, batch: Packed) -> Packed:
        """[n, dim] to [n, dim]."""
        if self.tokens:
            batch.hidden = F.normalize(batch.token_embeddings(), p=2, dim=1)
        else:
            batch.vectors = F.normalize(batch.sentence_embeddings(), p=2, dim=1)
        return batch

    def dimension(self, width: int) -> int:
        """Unchanged."""
        return width


class Dropout:
    """Does nothing: it acts in training only."""

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "Dropout":
        """Has no weights."""
        return cls()

    def __call__(self, batch: Packed) -> Packed:
        """Hands on what comes in."""
        return batch

    def dimension(self, width: int) -> int:
        """Unchanged."""
        return width


class LayerNorm:
    """Scales each vector to mean 0 and variance 1, then each feature by its weight, plus its bias.

    Args:
        folder: Its weights.
        device: Where to compute.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        weights = Weights(folder)
        self.weight, self.bias = (weights.need(f"norm.{part}").float().to(device) for part in ("weight", "bias"))

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "LayerNorm":
        """In float32 always."""
        return cls(spec.path, device)

    def __call__(self, batch: Packed) -> Packed:
        """[texts, dim] to [texts, dim]."""
        batch.vectors = F.layer_norm(batch.sentence_embeddings(), self.weight.shape, self.weight, self.bias)
        return batch

    def dimension(self, width: int) -> int:
        """Unchanged."""
        return width


class Dense:
    """activation(x W^T + b), and x (or x R^T where the sizes differ) on top where the config asks for it.

    Args:
        folder: Its weights.
        config: Its config.json.
        device: Where to compute.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], device: torch.device) -> None:
        weights = Weights(folder)
        self.weight = weights.need("linear.weight").float().to(device)
        self.bias = weights["linear.bias"].float().to(device) if "linear.bias" in weights else None
        self.activation = activation(config.get("activation_function"))
        self.tokens = config.get("module_input_name") == "token_embeddings"
        self.residual = None
        if config.get("use_residual"):
            same = self.weight.shape[0] == self.weight.shape[1]
            self.residual = torch.nn.Identity() if same else _matrix(weights["residual.weight"].float().to(device))

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "Dense":
        """In float32 always: it is small, and stands where rounding shows."""
        return cls(spec.path, spec.config, device)

    def __call__(self, batch: Packed) -> Packed:
        """[n, in] to [n, out], on sentence embeddings or, where the config says so, on token embeddings."""
        x = batch.token_embeddings().float() if self.tokens else batch.sentence_embeddings()
        out = self.activation(F.linear(x, self.weight, self.bias))
        if self.residual is not None:
            out = out + self.residual(x)
        if self.tokens:
            batch.hidden = out
        else:
            batch.vectors = out
        return batch

    def dimension(self, width: int) -> int:
        """Its out_features."""
        return self.weight.shape[0]


def _matrix(weight: torch.Tensor) -> torch.nn.Module:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.requires_grad_(False).copy_(weight)
    return layer.to(weight.device)


def activation(path: str | None) -> torch.nn.Module:
    """The torch module class of a dotted path; Tanh, with a warning, where that is not one of torch.nn's.

    Only names below torch.nn are looked up: a checkpoint must not choose what is imported.
    """
    if path is None:
        return torch.nn.Tanh()
    name = path.rpartition(".")[2]
    found = getattr(torch.nn, name, None) if path.startswith("torch.nn.") else None
    if isinstance(found, type) and issubclass(found, torch.nn.Module):
        return found()
    _log.warning("activation %r is not a class of torch.nn: Tanh is used, as sentence-transformers does.", path)
    return torch.nn.Tanh()

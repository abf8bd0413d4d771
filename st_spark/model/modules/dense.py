"""Modules after the pooling: sentence embeddings to sentence embeddings, in float32.

The config of Dense and Normalize can also say that they work on token embeddings.
"""

import logging

import torch
import torch.nn.functional as F

from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed
from st_spark.model.modules.interfaces import Module, check_width

_log = logging.getLogger(__name__)


class Normalize(Module):
    """Scales each vector to length 1; a zero vector stays zero."""

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.tokens = _reads_tokens(spec)

    def __call__(self, batch: Packed) -> Packed:
        """Normalise [n, dim]."""
        if self.tokens:
            batch.hidden = F.normalize(batch.token_embeddings(), p=2, dim=1)
        else:
            batch.vectors = F.normalize(batch.sentence_embeddings(), p=2, dim=1)
        return batch


class Dropout(Module):
    """Does nothing: dropout is for training only."""

    def __call__(self, batch: Packed) -> Packed:
        """Return the micro-batch unchanged."""
        return batch


class LayerNorm(Module):
    """Scales each vector to mean 0 and variance 1, multiplies each feature by its weight and adds its bias."""

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        weights = Weights(spec.path)
        self.folder = spec.path
        self.weight, self.bias = (weights[f"norm.{part}"].to(device).float() for part in ("weight", "bias"))

    def __call__(self, batch: Packed) -> Packed:
        """Normalise [texts, dim]."""
        batch.vectors = F.layer_norm(batch.sentence_embeddings(), self.weight.shape, self.weight, self.bias)
        return batch

    def dimension(self, width: int) -> int:
        """Return the width, which the weights must have."""
        check_width(self.folder, len(self.weight), width)
        return width


class Dense(Module):
    """activation(x W^T + b); with use_residual plus x, or x R^T if input and output differ in size."""

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        weights = Weights(spec.path)
        self.folder = spec.path
        self.weight = weights["linear.weight"].to(device).float()
        has_bias = bool(spec.config.get("bias", True))
        self.bias = weights["linear.bias"].to(device).float() if has_bias else None
        self.activation = activation(spec.config.get("activation_function"))
        self.tokens = _reads_tokens(spec)
        self.adds_input = bool(spec.config.get("use_residual"))
        projects = self.adds_input and self.weight.shape[0] != self.weight.shape[1]
        self.residual = weights["residual.weight"].to(device).float() if projects else None
        weights.check_all_read()

    def __call__(self, batch: Packed) -> Packed:
        """Transform [n, in] to [n, out]."""
        x = batch.token_embeddings().float() if self.tokens else batch.sentence_embeddings()
        out = self.activation(F.linear(x, self.weight, self.bias))
        if self.adds_input:
            out = out + (x if self.residual is None else F.linear(x, self.residual))
        if self.tokens:
            batch.hidden = out
        else:
            batch.vectors = out
        return batch

    def dimension(self, width: int) -> int:
        """Return out_features."""
        check_width(self.folder, self.weight.shape[1], width)
        return self.weight.shape[0]


def _reads_tokens(spec: ModuleSpec) -> bool:
    return spec.config.get("module_input_name") == "token_embeddings"


def activation(path: str | None) -> torch.nn.Module:
    """Return the torch.nn module of a dotted path, or Tanh with a warning if it is not a class of torch.nn.

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

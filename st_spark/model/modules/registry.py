"""The description of a model to its modules: which class loads which kind.

To add a kind: a class that offers what st_spark.model.modules.interfaces asks for, with a classmethod load(spec, dtype,
device), and one line in _LOADERS.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec, submodules
from st_spark.model.inputs.batching import Lengths, longest_first, micro_batches
from st_spark.model.modules.clip import CLIP
from st_spark.model.modules.dense import Dense, Dropout, LayerNorm, Normalize
from st_spark.model.modules.interfaces import InputModule, Module
from st_spark.model.modules.pooling import Pooling
from st_spark.model.modules.router import Router
from st_spark.model.modules.static_embedding import StaticEmbedding
from st_spark.model.modules.token_layers import CNN, LSTM, WeightedLayerPooling
from st_spark.model.modules.transformer import Transformer
from st_spark.model.modules.word_embeddings import BoW, WordEmbeddings, WordWeights

_log = logging.getLogger(__name__)

_LOADERS: Mapping[str, Callable[[ModuleSpec, torch.dtype, torch.device], Module]] = {
    "Transformer": Transformer.load,
    "CLIPModel": CLIP.load,
    "StaticEmbedding": StaticEmbedding.load,
    "WordEmbeddings": WordEmbeddings.load,
    "BoW": BoW.load,
    "WordWeights": WordWeights.load,
    "CNN": CNN.load,
    "LSTM": LSTM.load,
    "WeightedLayerPooling": WeightedLayerPooling.load,
    "Pooling": Pooling.load,
    "Dense": Dense.load,
    "Dropout": Dropout.load,
    "LayerNorm": LayerNorm.load,
    "Normalize": Normalize.load,
}
# Their stored pooling counts the prompt, which they were trained without.
_INSTRUCTORS = ("hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")


# Tokens of a micro-batch. On a CPU the activations of 2,048 tokens stay near the caches (measured on Zen 4, 2
# cores: 1,024 to 4,096 within 3%, 16,384 8% slower); a GPU wants enough to fill it.
_CPU_TOKENS = 2048
_GPU_TOKENS = 32768
# Where tokens are rows of a table there is little to do for each, and threads wait for one another at every batch.
_LOOKED_UP_TOKENS = 16384
_SUMMED_TOKENS = 131072


@dataclass(frozen=True)
class Pipeline:
    """What a text runs through.

    Attributes:
        modules: One after the other.
        input: The first of them.
        width: Size of the vectors.
    """

    modules: Sequence[Module]
    input: InputModule
    width: int

    def runs(self, lengths: Lengths, device: torch.device, batch_size: int | None) -> list[npt.NDArray[np.int64]]:
        """The texts of each micro-batch, by their places: the longest first, or as they come where length is nothing.

        Args:
            lengths: [texts] tokens of each.
            device: Where they will be computed.
            batch_size: Most texts of a micro-batch, or None.
        """
        order = np.arange(len(lengths)) if self._sums_rows else longest_first(lengths)
        work = np.maximum(lengths[order], 1)  # word models know texts without tokens
        return [order[first:stop] for first, stop in micro_batches(work, self._budget(device), batch_size)]

    def _budget(self, device: torch.device) -> int:
        if self._sums_rows:
            return _SUMMED_TOKENS
        if isinstance(self.input, WordEmbeddings | BoW):
            return _LOOKED_UP_TOKENS
        return _CPU_TOKENS if device.type == "cpu" else _GPU_TOKENS

    @property
    def _sums_rows(self) -> bool:
        """Whether texts become sums of the rows of a table, and nothing is ever held for each token."""
        if isinstance(self.input, WordEmbeddings) and len(self.modules) > 1:
            second = self.modules[1]
            return isinstance(second, Pooling) and second.modes == ("mean",)
        return isinstance(self.input, StaticEmbedding)


class Assembly:
    """The modules of a model, with its routers.

    Args:
        specs: What the checkpoint says.
        name: The model's name on the hub, where it has one.
        dtype: What to compute in; small modules and word models use float32 always.
        device: Where.

    Raises:
        ModelError: A module of a kind that is not supported, broken files, or modules that do not fit together.
    """

    def __init__(self, specs: Sequence[ModuleSpec], name: str, dtype: torch.dtype, device: torch.device) -> None:
        self.modules = [
            _load_router(spec, dtype, device) if spec.kind in ("Router", "Asym") else _load(spec, dtype, device)
            for spec in specs
        ]
        first = self.modules[0]
        ways = first.routes.values() if isinstance(first, Router) else [[first]]
        self.inputs = [_input_of(way) for way in ways]
        if name in _INSTRUCTORS:
            self.include_prompt(False)
        elif "instructor" in name.partition("/")[2].lower() and any(pool.include_prompt for pool in self._poolings()):
            _log.warning(
                "%s: instructor models want set_pooling_include_prompt(False), or include_prompt false in Pooling.",
                name,
            )

    def pipeline(self, task: str | None) -> Pipeline:
        """The modules for a task; None is what the model does without one.

        Raises:
            InputError: A router has no route for the task.
        """
        return _pipeline([module.choose(task) if isinstance(module, Router) else [module] for module in self.modules])

    def typical(self) -> Pipeline:
        """The modules whose size and number format stand for the model: those of the routers' default routes."""
        return _pipeline([module.typical() if isinstance(module, Router) else [module] for module in self.modules])

    def include_prompt(self, value: bool) -> None:
        """Whether the tokens of a prompt count in the poolings."""
        for pooling in self._poolings():
            pooling.include_prompt = value

    def _poolings(self) -> list[Pooling]:
        return [module for module in self.modules if isinstance(module, Pooling)]


def _load_router(spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> Router:
    inner = {name: _load(each, dtype, device) for name, each in submodules(spec).items()}
    routes = {route: [inner[i] for i in ids] for route, ids in spec.config["structure"].items()}
    return Router(routes, spec.config.get("parameters", {}))


def _load(spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> Module:
    if spec.kind not in _LOADERS:
        raise ModelError(f"{spec.path} is a {spec.kind}, which is not supported there.", "choose a model without it.")
    return _LOADERS[spec.kind](spec, dtype, device)


def _pipeline(parts: Sequence[Sequence[Module]]) -> Pipeline:
    modules = [module for part in parts for module in part]
    width = 0
    for module in modules:
        width = module.dimension(width)
    return Pipeline(modules, _input_of(modules), width)


def _input_of(modules: Sequence[Module]) -> InputModule:
    first = modules[0]
    if not hasattr(first, "prepare"):
        raise ModelError(
            f"the model begins with {type(first).__name__}, which reads no texts.", "its modules.json is broken."
        )
    return first  # type: ignore[return-value]

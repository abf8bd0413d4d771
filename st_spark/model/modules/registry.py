"""From the description of a model to its modules, and the path of a text through them.

To add a kind of module, derive a class from Module or InputModule and add it to _INPUTS or _LATER.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint.faults import Faults
from st_spark.model.checkpoint.module_spec import ModuleSpec, submodules
from st_spark.model.inputs.batching import Lengths, longest_first, micro_batches
from st_spark.model.modules.clip import CLIPModel
from st_spark.model.modules.dense import Dense, Dropout, LayerNorm, Normalize
from st_spark.model.modules.interfaces import InputModule, Module
from st_spark.model.modules.pooling import Pooling
from st_spark.model.modules.router import Router
from st_spark.model.modules.static_embedding import StaticEmbedding
from st_spark.model.modules.token_layers import CNN, LSTM, WeightedLayerPooling
from st_spark.model.modules.transformer import Transformer
from st_spark.model.modules.word_embeddings import BoW, WordEmbeddings, WordWeights

# Errors of torch and Python for files that do not fit together, and errors with other causes.
_ERRORS = (RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError)
_DEVICE_ERRORS = (torch.OutOfMemoryError, torch.AcceleratorError)
_TWO_MODELS = "The files are damaged, or of two models: copy or download all of them again."
_log = logging.getLogger(__name__)

_INPUTS = (Transformer, CLIPModel, StaticEmbedding, WordEmbeddings, BoW)
_LATER = (WordWeights, CNN, LSTM, WeightedLayerPooling, Pooling, Dense, Dropout, LayerNorm, Normalize)
_KINDS: Mapping[str, type[Module]] = {kind.__name__: kind for kind in (*_INPUTS, *_LATER)}

# Their stored pooling counts the prompt, but they were trained without it.
_INSTRUCTORS = ("hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")

# Tokens of a micro-batch. On a CPU the activations of 2,048 tokens stay near the caches (measured on Zen 4, 2
# cores: 1,024 to 4,096 within 3%, 16,384 8% slower); a GPU wants enough to fill it.
_CPU_TOKENS = 2048
_GPU_TOKENS = 32768
# transformers' own models write more to memory for each token: 512 and 1,024 tokens are 10% faster than 2,048 (AMX).
_PADDED_TOKENS = 1024
# A token that is only a row of a table is little work, and threads wait for one another at every micro-batch.
_LOOKED_UP_TOKENS = 16384
_SUMMED_TOKENS = 131072


@dataclass(frozen=True)
class Pipeline:
    """The modules that a text runs through for one task.

    Attributes:
        modules: In order.
        input: The first of them.
        width: Size of the vectors.
    """

    modules: Sequence[Module]
    input: InputModule
    width: int

    def runs(
        self, lengths: Lengths, device: torch.device, batch_size: int | None, max_tokens: int | None = None
    ) -> list[npt.NDArray[np.int64]]:
        """Cut texts into micro-batches, the longest texts first, or in the given order if length does not matter.

        Args:
            lengths: [texts] tokens of each text.
            device: Where they will be computed.
            batch_size: Maximum number of texts in a micro-batch, or None.
            max_tokens: Maximum number of tokens in a micro-batch, or None for as many as suit the device.

        Returns:
            The indices of the texts of each micro-batch.
        """
        order = np.arange(len(lengths)) if self._sums_rows else longest_first(lengths)
        work = np.maximum(lengths[order], 1)  # in word models a text can have no tokens
        batches = micro_batches(work, max_tokens or self._budget(device), batch_size, self.input.pads)
        return [order[first:stop] for first, stop in batches]

    def _budget(self, device: torch.device) -> int:
        if self._sums_rows:
            return _SUMMED_TOKENS
        if isinstance(self.input, WordEmbeddings | BoW):
            return _LOOKED_UP_TOKENS
        if device.type != "cpu":
            return _GPU_TOKENS
        return _PADDED_TOKENS if self.input.pads else _CPU_TOKENS

    def check(self, folder: Path, device: torch.device) -> None:
        """Encode a text, to see before work starts that the modules fit together.

        Raises:
            ModelError: They do not.
        """
        batch = self.input.prepare(["a text"], None).take(np.arange(1), device)
        for module in self.modules:
            try:
                with torch.inference_mode():
                    batch = module(batch)
            except _DEVICE_ERRORS:
                raise
            except _ERRORS as error:
                reason = " ".join(str(error).split())[:200]
                problem = f"'{folder}': its {type(module).__name__} cannot compute with the sizes of its weights"
                raise ModelError(f"{problem} ({reason}).", _TWO_MODELS) from error

    @property
    def _sums_rows(self) -> bool:
        """Whether texts become sums of table rows, so that nothing is ever stored for each token."""
        if isinstance(self.input, WordEmbeddings) and len(self.modules) > 1:
            second = self.modules[1]
            return isinstance(second, Pooling) and second.modes == ("mean",)
        return isinstance(self.input, StaticEmbedding)


class Assembly:
    """The loaded modules of a model, routers included.

    Args:
        specs: The modules that the checkpoint describes.
        name: The model's name on the hub, if it has one.
        dtype: Number format of the computation; see Module.
        device: Where to compute.

    Raises:
        ModelError: A kind of module that is not supported, broken files, or modules that do not fit together.
    """

    def __init__(self, specs: Sequence[ModuleSpec], name: str, dtype: torch.dtype, device: torch.device) -> None:
        faults = Faults()
        self.modules = load_modules(specs, dtype, device, faults)
        faults.check()
        self._check_fit(specs[0].path, device)
        first = self.modules[0]
        routes = first.routes.values() if isinstance(first, Router) else [[first]]
        self.inputs = [_input_of(route) for route in routes]
        if dtype is torch.int8 and not any(each.dtype is dtype for each in self.inputs):
            raise InputError("dtype='int8' is for encoders like BERT, and this model has another one.", "use 'auto'.")
        if name in _INSTRUCTORS:
            self.include_prompt(False)
        elif "instructor" in name.partition("/")[2].lower() and any(pool.include_prompt for pool in self._poolings()):
            _log.warning(
                "%s: instructor models want set_pooling_include_prompt(False), or include_prompt false in Pooling.",
                name,
            )

    def _check_fit(self, folder: Path, device: torch.device) -> None:
        """Raise ModelError if a module cannot work on what the module before it gives, on any route."""
        self.typical().check(folder, device)
        for task in {route for module in self.modules if isinstance(module, Router) for route in module.routes}:
            with suppress(InputError):  # another router has no route of this name
                self.pipeline(task).check(folder, device)

    def pipeline(self, task: str | None) -> Pipeline:
        """Return the modules for a task, or for no task.

        Raises:
            InputError: A router has no route for the task.
        """
        return _pipeline([module.choose(task) if isinstance(module, Router) else [module] for module in self.modules])

    def typical(self) -> Pipeline:
        """Return the modules of the default routes; the model reports their vector size and number format."""
        return _pipeline([module.typical() if isinstance(module, Router) else [module] for module in self.modules])

    def include_prompt(self, value: bool) -> None:
        """Set whether the poolings count the tokens of a prompt."""
        for pooling in self._poolings():
            pooling.include_prompt = value

    def _poolings(self) -> list[Pooling]:
        return [module for module in self.modules if isinstance(module, Pooling)]


def load_modules(specs: Sequence[ModuleSpec], dtype: torch.dtype, device: torch.device, faults: Faults) -> list[Any]:
    """Load modules, and collect what is wrong with each that cannot be loaded."""
    modules: list[Any] = []
    for spec in specs:
        load = _load_router if spec.kind in ("Router", "Asym") else _load
        with faults.catch():
            try:
                modules.append(load(spec, dtype, device))
            except _DEVICE_ERRORS:
                raise
            except _ERRORS as error:
                if faults.found:  # it can follow from that
                    continue
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                problem = f"'{spec.path}': a {spec.kind} cannot be made of its files ({reason})."
                raise ModelError(problem, _TWO_MODELS) from error
    return modules


def _load_router(spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> Router:
    inner, faults = {}, Faults()
    for name, each in submodules(spec).items():
        with faults.catch():
            inner[name] = _load(each, dtype, device)
    faults.check()
    routes = {route: [inner[i] for i in ids] for route, ids in spec.config["structure"].items()}
    return Router(routes, spec.config.get("parameters", {}))


def _load(spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> Module:
    if spec.kind not in _KINDS:
        raise ModelError(f"{spec.path}: a {spec.kind} is not supported at this place.", "choose another model.")
    try:
        computed = torch.float32 if dtype is torch.int8 and spec.kind != "Transformer" else dtype
        return _KINDS[spec.kind](spec, computed, device)
    except ModelError as error:
        if error.parts or str(spec.path) in error.problem:
            raise
        raise ModelError(f"{spec.path}: {error.problem}", error.fix) from error


def _pipeline(parts: Sequence[Sequence[Module]]) -> Pipeline:
    modules = [module for part in parts for module in part]
    first, width = _input_of(modules), 0
    for module in modules:
        width = module.dimension(width)
    return Pipeline(modules, first, width)


def _input_of(modules: Sequence[Module]) -> InputModule:
    first = modules[0]
    if not isinstance(first, InputModule):
        raise ModelError(
            f"the model begins with {type(first).__name__}, which reads no texts.",
            "copy or download the model again: its modules.json is broken.",
        )
    return first

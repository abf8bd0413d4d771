"""Check a model before work starts: say all that is wrong with its files at once, or describe the model.

The check runs the loaders themselves on torch's meta device, which has shapes and no numbers. So a checkpoint passes
the check exactly if it loads. The weights stay mapped from their files, and are read once, for NaN. Models that run
through transformers are loaded on the CPU, and encode two short texts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from st_spark.errors import ModelError
from st_spark.model.backbones.transformers_model import TransformersBackbone
from st_spark.model.checkpoint.checkpoint import Checkpoint, fingerprint, model_files, read_all
from st_spark.model.checkpoint.faults import Faults
from st_spark.model.checkpoint.module_spec import ModuleSpec, submodules
from st_spark.model.checkpoint.transformer_files import ADAPTER
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.tokenizer import NO_LIMIT, Tokenizer
from st_spark.model.modules.interfaces import InputModule
from st_spark.model.modules.registry import Assembly, load_modules
from st_spark.model.modules.transformer import Transformer

_passed: set[str] = set()


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        faults: What is wrong, one error for each thing; empty if the model can be used.
        found: Names and values that describe the model, as far as its files can be read.
    """

    faults: Sequence[ModelError]
    found: dict[str, str]


def check(folder: Path) -> None:
    """Check that a model can be used; models with the same content are checked once in a process.

    Raises:
        ModelError: It cannot. One error says all that is wrong.
    """
    content = fingerprint(folder)
    if content not in _passed:
        faults = Faults()
        _load(read_all(folder, faults), faults)
        faults.check()
        _passed.add(content)


def examine(folder: Path) -> Report:
    """Check a model and describe it."""
    faults = Faults()
    description = read_all(folder, faults)
    found = {"format": _format(description), "weights": _weights(description)}
    assembly = _load(description, faults)
    if assembly is not None:
        found |= dict(_inputs(assembly.inputs))
        found["dimension"] = str(min(width := assembly.typical().width, description.truncate_dim or width))
    return Report(faults.found, found)


def _load(description: Checkpoint, faults: Faults) -> Assembly | None:
    """Load a model without its numbers; None if that fails."""
    device = torch.device("meta")
    if faults.found or not description.modules:  # some modules may be missing, so the others need not fit together
        load_modules(description.modules, torch.float32, device, faults)
        return None
    loaded: list[Assembly] = []
    with faults.catch():
        loaded.append(Assembly(description.modules, "", torch.float32, device))
    return next(iter(loaded), None)


def _format(description: Checkpoint) -> str:
    kinds = " + ".join(module.kind for module in description.modules) or "unknown"
    plain = not (description.folder / "modules.json").is_file()
    return f"{'transformers, read as ' if plain else ''}{kinds}"


def _weights(description: Checkpoint) -> str:
    """Return the size of a model, and whether adapters belong to it."""
    size, numbers, ignored = 0, 0, Faults()
    with ignored.catch():
        size = sum((description.folder / name).stat().st_size for name in model_files(description.folder))
    for folder in {spec.path for spec in _leaves(description.modules)}:
        if any(folder.glob("*.safetensors")) or any(folder.glob("*.bin*")):
            with ignored.catch():
                numbers += Weights(folder).count()
    adapters = " and an adapter" if any((spec.path / ADAPTER).is_file() for spec in description.modules) else ""
    return f"{numbers / 1e6:,.1f} million parameters{adapters}, {size / 1e6:,.1f} MB of files"


def _leaves(specs: Sequence[ModuleSpec]) -> Iterator[ModuleSpec]:
    """Yield all modules, and those inside routers in place of the routers."""
    for spec in specs:
        if spec.kind in ("Router", "Asym"):
            yield from _leaves(list(submodules(spec).values()))
        else:
            yield spec


def _inputs(inputs: Sequence[InputModule]) -> Iterator[tuple[str, str]]:
    """Yield what is known of the first modules, one for each route of a model."""
    tokenizers = [module.tokenizer for module in inputs if hasattr(module, "tokenizer")]
    if tokenizers:
        yield "tokenizer", " | ".join(map(_tokenizer, tokenizers))
    limits = [module.max_length for module in inputs]
    yield "max tokens", " | ".join("no limit" if limit in (None, NO_LIMIT) else f"{limit:,}" for limit in limits)
    yield "path", " | ".join(map(_path, inputs))


def _tokenizer(tokenizer: object) -> str:
    if isinstance(tokenizer, Tokenizer):
        return f"{type(tokenizer.auto).__name__}, fast, {tokenizer.backend.get_vocab_size():,} tokens"
    return type(tokenizer).__name__


def _path(module: InputModule) -> str:
    """Return which code computes a module."""
    if not isinstance(module, Transformer):
        return f"own code ({type(module).__name__})"
    backbone = module.backbone
    if isinstance(backbone, TransformersBackbone):
        return f"transformers' code ({type(backbone.model).__name__}): right, but slower than a packed architecture"
    return f"packed ({type(backbone).__name__}): texts run without padding, the fast way"

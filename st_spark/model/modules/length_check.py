"""Check max_seq_length against a checkpoint before work starts: by its tokenizer and config, not its weights."""

from collections.abc import Iterator, Sequence

import torch

from st_spark.model.backbones.transformers_model import position_limit
from st_spark.model.checkpoint.module_spec import ModuleSpec, submodules
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.tokenizer import NO_LIMIT
from st_spark.model.modules.interfaces import check_length
from st_spark.model.modules.transformer import load_config, load_tokenizer


def check_max_seq_length(modules: Sequence[ModuleSpec], value: object) -> None:
    """Check that every tokenizer and encoder of a model can have this max_seq_length; InputError if not."""
    for spec in _inputs(modules):
        specials, positions = 0, NO_LIMIT
        if spec.kind in ("Transformer", "CLIPModel"):
            specials, positions = _limits(spec)
        check_length(value, specials, positions)


def _inputs(modules: Sequence[ModuleSpec]) -> Iterator[ModuleSpec]:
    """Yield the modules that read texts: the first one, or the first of each route."""
    first = modules[0]
    if first.kind not in ("Router", "Asym"):
        yield first
        return
    inner = submodules(first)
    for ids in first.config["structure"].values():
        yield inner[ids[0]]


def _limits(spec: ModuleSpec) -> tuple[int, int]:
    """Return the special tokens of a text and the positions of the model."""
    from transformers import AutoModel

    config = load_config(spec, Weights(spec.path))
    if spec.kind == "CLIPModel":
        positions: int | None = config.text_config.max_position_embeddings
    else:
        with torch.device("meta"):  # no memory, no numbers: only the shapes
            positions = position_limit(AutoModel.from_config(config), config)
    return load_tokenizer(spec, config).specials, positions or NO_LIMIT

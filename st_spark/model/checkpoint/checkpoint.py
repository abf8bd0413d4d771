"""Read what a model folder contains: its modules and settings, in every old and new spelling; loads no weights."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from st_spark.choices import SIMILARITIES
from st_spark.errors import ModelError
from st_spark.model.checkpoint.faults import Faults
from st_spark.model.checkpoint.files import check_pointers, fingerprint, model_files
from st_spark.model.checkpoint.json_files import invalid, read_json, read_object, shown
from st_spark.model.checkpoint.module_spec import ModuleSpec, is_clip, read_module
from st_spark.model.checkpoint.transformer_files import check_embeds, check_transformer

__all__ = ["Checkpoint", "fingerprint", "model_files", "read"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The description of a model folder.

    Attributes:
        folder: The absolute model folder.
        modules: The modules, in the order in which a text passes through them.
        prompts: The stored prompt texts by name.
        default_prompt_name: The prompt of a plain encode(), or None.
        similarity: "cosine" (the default), "dot", "euclidean" or "manhattan".
        truncate_dim: The stored number of dimensions to keep, or None for all.
    """

    folder: Path
    modules: tuple[ModuleSpec, ...]
    prompts: Mapping[str, str]
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    truncate_dim: int | None = None


def read(folder: Path) -> Checkpoint:
    """Read the description of a model without loading it.

    Args:
        folder: A folder with modules.json, or a plain transformers folder, which gets mean pooling (a causal
            language model gets last-token pooling).

    Raises:
        ModelError: The folder is not a model, is broken, has a link that leaves it, or needs foreign code. One error
            says all that is wrong.
    """
    faults = Faults()
    found = read_all(folder, faults)
    faults.check()
    return found


def read_all(folder: Path, faults: Faults) -> Checkpoint:
    """Read what can be read of a model's description, and collect what is wrong with the rest."""
    folder = Path(os.path.realpath(folder))
    modules: tuple[ModuleSpec, ...] = ()
    settings: dict[str, Any] = {"prompts": {}}
    with faults.catch():
        check_pointers(folder, model_files(folder))  # rejects links that leave the folder before a file is opened
        modules = _modules(folder, faults)
        with faults.catch():
            settings = _settings(folder / "config_sentence_transformers.json")
    return Checkpoint(folder, modules, **settings)


def _modules(folder: Path, faults: Faults) -> tuple[ModuleSpec, ...]:
    """Return the modules whose classes and folders are right."""
    listing = folder / "modules.json"
    if not listing.is_file():
        return _plain_modules(folder, faults)
    entries = read_json(listing)
    if not isinstance(entries, list) or not entries:
        raise invalid(listing, "the whole file", entries, "a list of at least one module")
    modules = []
    for position, entry in enumerate(entries):
        with faults.catch():
            modules.append(read_module(folder, listing, position, entry, faults))
    names = [module.name for module in modules]
    if len(set(names)) < len(names):
        raise invalid(listing, "'name'", names, "a different name for each module")
    return tuple(modules)


def _plain_modules(folder: Path, faults: Faults) -> tuple[ModuleSpec, ...]:
    """Return the modules that sentence-transformers gives to a folder without modules.json."""
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"The folder '{folder}' is not a model: it has no modules.json and no config.json.",
            "Give the folder that holds modules.json (sentence-transformers) or config.json (transformers).",
        )
    config = read_object(folder / "config.json")
    with faults.catch():
        check_transformer(folder)
    with faults.catch():
        check_embeds(folder, config)
    if is_clip(folder):
        return (ModuleSpec("CLIPModel", folder, {}, "0"),)
    architectures = config.get("architectures") or [""]
    causal = isinstance(architectures, list) and str(architectures[0]).endswith("ForCausalLM")
    mode = "lasttoken" if causal and config.get("is_causal", True) else "mean"
    _log.warning("'%s' has no modules.json: it is read as a transformer with %s pooling", folder, mode)
    return ModuleSpec("Transformer", folder, {}, "0"), ModuleSpec("Pooling", folder, {"pooling_mode": mode}, "1")


def _settings(file: Path) -> dict[str, Any]:
    """Return the checked fields of config_sentence_transformers.json, as keyword arguments of Checkpoint."""
    stored = read_object(file) if file.is_file() else {}
    prompts = stored.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise invalid(file, "'prompts'", prompts, "an object of name to text")
    prompts = {name: text or "" for name, text in prompts.items()}
    default = stored.get("default_prompt_name")
    # Every model has these two prompts; they are empty if none are stored.
    if default is not None and default not in [*prompts, "query", "document"]:
        raise invalid(file, "'default_prompt_name'", default, f"one of the stored prompts {shown(list(prompts))}")
    similarity = stored.get("similarity_fn_name") or "cosine"
    if similarity not in SIMILARITIES:
        _log.warning("%s: 'similarity_fn_name' is %s, which is unknown: cosine is used", file, shown(similarity))
        similarity = "cosine"
    dim = stored.get("truncate_dim")
    if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool) or dim < 1):
        raise invalid(file, "'truncate_dim'", dim, "a number of dimensions, 1 or more")
    kind = stored.get("model_type") or "SentenceTransformer"
    if kind != "SentenceTransformer":
        raise invalid(file, "'model_type'", kind, "SentenceTransformer: this model does not give one vector for a text")
    return {"prompts": prompts, "default_prompt_name": default, "similarity": similarity, "truncate_dim": dim}

"""Check one module of a checkpoint: its class, its folder and its config, before anything is loaded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from st_spark.errors import ModelError
from st_spark.model.checkpoint.faults import Faults
from st_spark.model.checkpoint.json_files import invalid, read_object, shown
from st_spark.model.checkpoint.transformer_files import check_settings, check_transformer

_OLD_BERTS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_TRANSFORMER_CONFIGS = tuple(f"sentence_{name}_config.json" for name in _OLD_BERTS)
_ROUTER_CONFIGS = ("router_config.json", "config.json")
# The module classes of sentence-transformers' text and image models, with the names of their config files.
_CONFIGS: dict[str, tuple[str, ...]] = {
    "Transformer": _TRANSFORMER_CONFIGS,
    "CLIPModel": _TRANSFORMER_CONFIGS,
    "WordEmbeddings": ("wordembedding_config.json",),
    "CNN": ("cnn_config.json",),
    "LSTM": ("lstm_config.json",),
    "Router": _ROUTER_CONFIGS,
    "Asym": _ROUTER_CONFIGS,
    "StaticEmbedding": (),
    **dict.fromkeys(["Pooling", "Dense", "Normalize", "LayerNorm", "Dropout"], ("config.json",)),
    **dict.fromkeys(["WeightedLayerPooling", "BoW", "WordWeights"], ("config.json",)),
}
_SPARSE = {"MLMTransformer", "SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder", "CSRSparsity"}
_WORK_WITHOUT_CONFIG = {"Transformer", "CLIPModel", "Normalize", "Dropout", "StaticEmbedding"}
_MAY_LACK_FOLDER = {"Normalize", "Dropout"}  # they store nothing, and the hub keeps no empty folders
_CLASS_PATH = re.compile(r"sentence_transformers(\.[A-Za-z_]\w*)*\.(?P<kind>[A-Za-z_]\w*)")
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")


@dataclass(frozen=True)
class ModuleSpec:
    """One module of a model.

    Attributes:
        kind: The class name without its path, "Transformer" for instance.
        path: The absolute folder of the module. It need not exist for Normalize and Dropout.
        config: The content of the module's config file, {} if it has none.
        name: The module's name in modules.json.
        kwargs: Names of the keyword arguments of encode() that this module gets.
    """

    kind: str
    path: Path
    config: Mapping[str, Any]
    name: str = ""
    kwargs: tuple[str, ...] = ()


def submodules(router: ModuleSpec) -> dict[str, ModuleSpec]:
    """Return the modules inside a Router (or Asym, its old name) by their ids in config["structure"].

    Raises:
        ModelError: The router's config is broken, or one of the modules cannot be read (see `read_module`).
    """
    file = next(router.path / name for name in _ROUTER_CONFIGS if (router.path / name).is_file())
    types, structure = router.config.get("types"), router.config.get("structure")
    if not isinstance(types, dict) or not types:
        raise invalid(file, "'types'", types, "an object of module id to class path")
    if not isinstance(structure, dict) or not all(isinstance(route, list) for route in structure.values()):
        raise invalid(file, "'structure'", structure, "an object of route name to a list of module ids")
    for route, ids in structure.items():
        if not ids or not all(isinstance(i, str) and i in types for i in ids):
            raise invalid(file, f"route {shown(route)}", ids, f"some of the ids in 'types': {shown(list(types))}")
    if not isinstance(router.config.get("parameters", {}), dict):
        raise invalid(file, "'parameters'", router.config["parameters"], "an object")
    if not all(PureWindowsPath(name).parts for name in types):  # "." would be the router itself: endless
        raise invalid(file, "'types'", types, "an object whose ids are folders inside the router's own")
    entries = ({"name": name, "path": name, "type": kind} for name, kind in types.items())
    faults = Faults()
    specs = []
    for position, entry in enumerate(entries):
        with faults.catch():
            specs.append(read_module(router.path, file, position, entry, faults))
    faults.check()
    if not structure:
        raise invalid(file, "'structure'", structure, "an object with at least one route")
    return {spec.name: spec for spec in specs}


def read_module(folder: Path, file: Path, position: int, entry: object, faults: Faults) -> ModuleSpec:
    """Return an entry of modules.json or of a router's types, and collect what is wrong with the files of its folder.

    Raises:
        ModelError: The entry itself cannot be read: an unknown class, or no folder or no config that could be read.
    """
    where = f"module {position}"
    if not isinstance(entry, dict):
        raise invalid(file, where, entry, "an object with 'name', 'path' and 'type'")
    name, kwargs = entry.get("name", str(position)), entry.get("kwargs") or []
    if not isinstance(name, str):
        raise invalid(file, f"'name' of {where}", name, "a string")
    if not isinstance(kwargs, list) or not all(isinstance(word, str) for word in kwargs):
        raise invalid(file, f"'kwargs' of {where}", kwargs, "a list of strings")
    kind = _kind(file, where, entry.get("type"))
    path = _inner_folder(folder, file, where, entry.get("path"), kind)
    if kind == "Transformer" and is_clip(path):  # sentence-transformers 5.4 and later save CLIP as Transformer
        kind = "CLIPModel"
    spec = ModuleSpec(kind, path, _config(path, kind, faults), name, tuple(kwargs))
    if kind in ("Router", "Asym"):
        submodules(spec)  # for its checks: no unknown class one level down
    return spec


def is_clip(folder: Path) -> bool:
    """Return whether a folder holds a transformers CLIP model, with text and image encoder."""
    file = folder / "config.json"
    return file.is_file() and read_object(file).get("model_type") == "clip"


def _kind(file: Path, where: str, class_path: object) -> str:
    """Return the class name of a class path of sentence-transformers; ModelError for any other class."""
    if not isinstance(class_path, str):
        raise invalid(file, f"'type' of {where}", class_path, "a class path")
    match = _CLASS_PATH.fullmatch(class_path)
    if match is not None and match["kind"] in _SPARSE:
        problem = (
            f"{file}: {where} is a {match['kind']}: this is a sparse encoder, and only dense vectors are supported."
        )
        raise ModelError(problem, "Use a dense model; see `st-spark models`.")
    if match is None:
        fix = "Use a model that has only modules of sentence-transformers."
        if class_path.startswith("transformers."):
            fix = "Without modules.json the folder loads as a plain transformers model with mean pooling."
        problem = f"{file}: {where} has the foreign class {shown(class_path)}, and code of a checkpoint is never run."
        raise ModelError(problem, fix)
    kind = match["kind"]
    if kind not in _CONFIGS:
        problem = f"{file}: {where} has the unknown class {shown(class_path)}."
        raise ModelError(problem, f"Use a model of the known classes: {', '.join(_CONFIGS)}.")
    return kind


def _inner_folder(folder: Path, file: Path, where: str, path: object, kind: str) -> Path:
    """Return the folder of a module. It must lie inside the model, read as a POSIX and as a Windows path."""
    if not isinstance(path, str):
        raise invalid(file, f"'path' of {where}", path, "a string")
    spelled = PureWindowsPath(path)
    # File systems allow 255 bytes in a name. Real paths are short, and is_dir() must not fail on a long one.
    plain = path.isprintable() and len(path.encode()) <= 200
    if spelled.anchor or ".." in spelled.parts or not plain:
        raise ModelError(
            f"{file}: 'path' of {where} is {shown(path)}, which is not a plain path inside the model folder.",
            "Do not use this model, unless you know why the path is like that and can correct it.",
        )
    if (folder / path).is_dir() or kind in _MAY_LACK_FOLDER:
        return folder / path
    raise ModelError(
        f"{file}: the folder {shown(path)} of {where} ({kind}) does not exist in '{folder}'.",
        "Download or copy the model again, with all of its folders.",
    )


def _config(folder: Path, kind: str, faults: Faults) -> dict[str, Any]:
    """Return the content of the module's first config file that exists and is not empty."""
    if kind in ("Transformer", "CLIPModel"):
        with faults.catch():
            check_transformer(folder)
    stored = [read_object(folder / name) for name in _CONFIGS[kind] if (folder / name).is_file()]
    if not stored and kind not in _WORK_WITHOUT_CONFIG:
        raise ModelError(
            f"'{folder}' has no {' or '.join(_CONFIGS[kind])}, which a {kind} needs.",
            "Download or copy the model again.",
        )
    config = next(filter(None, stored), {})
    if kind == "Transformer":
        with faults.catch():
            check_settings(folder / _CONFIGS[kind][0], config)
    for key in _ARGUMENTS:  # a checkpoint may not switch on its own code
        if isinstance(config.get(key), dict):
            config[key].pop("trust_remote_code", None)
    return config

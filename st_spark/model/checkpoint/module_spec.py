"""One module of a checkpoint: its class path, its folder and its own config, checked before anything is loaded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from st_spark.errors import ModelError
from st_spark.model.checkpoint.json_files import read_object, shown, wrong

_OLD_BERTS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_TRANSFORMER_CONFIGS = tuple(f"sentence_{name}_config.json" for name in _OLD_BERTS)
_ROUTER_CONFIGS = ("router_config.json", "config.json")
# Each class of sentence-transformers that can stand in a text or image model, with the names of its own config.
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
_WORK_WITHOUT_CONFIG = {"Transformer", "CLIPModel", "Normalize", "Dropout", "StaticEmbedding"}
_MAY_LACK_FOLDER = {"Normalize", "Dropout"}  # they have nothing to store, and the hub keeps no empty folders
_CLASS_PATH = re.compile(r"sentence_transformers(\.[A-Za-z_]\w*)*\.(?P<kind>[A-Za-z_]\w*)")
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")


@dataclass(frozen=True)
class ModuleSpec:
    """One module of a model.

    Attributes:
        kind: The class name without its path, "Transformer" for instance.
        path: The absolute folder of the module; that of a Normalize need not exist.
        config: The module's own JSON, {} where it has none.
        name: The module's name in modules.json.
        kwargs: Names of the keyword arguments that encode() hands on to this module.
    """

    kind: str
    path: Path
    config: Mapping[str, Any]
    name: str = ""
    kwargs: tuple[str, ...] = ()


def submodules(router: ModuleSpec) -> dict[str, ModuleSpec]:
    """The modules inside a Router (or Asym, its old name), by the ids that config["structure"] uses.

    Raises:
        ModelError: The router's config is broken, or one of the modules cannot be read (see `read`).
    """
    file = next(router.path / name for name in _ROUTER_CONFIGS if (router.path / name).is_file())
    types, structure = router.config.get("types"), router.config.get("structure")
    if not isinstance(types, dict) or not types:
        raise wrong(file, "'types'", types, "an object of module id to class path")
    if not isinstance(structure, dict) or not all(isinstance(route, list) for route in structure.values()):
        raise wrong(file, "'structure'", structure, "an object of route name to a list of module ids")
    for route, ids in structure.items():
        if not ids or not all(isinstance(i, str) and i in types for i in ids):
            raise wrong(
                file, f"route {shown(route)}", ids, f"some of the ids in 'types', which are {shown(list(types))}"
            )
    if not isinstance(router.config.get("parameters", {}), dict):
        raise wrong(file, "'parameters'", router.config["parameters"], "an object")
    if not all(PureWindowsPath(name).parts for name in types):  # "." would be the router itself, without end
        raise wrong(file, "'types'", types, "an object whose ids are folders inside the router's own")
    entries = ({"name": name, "path": name, "type": kind} for name, kind in types.items())
    specs = [read_module(router.path, file, position, entry) for position, entry in enumerate(entries)]
    if not structure:
        raise wrong(file, "'structure'", structure, "an object with at least one route")
    return {spec.name: spec for spec in specs}


def read_module(folder: Path, file: Path, position: int, entry: object) -> ModuleSpec:
    """One entry of modules.json, or of a router's types, checked."""
    where = f"module {position}"
    if not isinstance(entry, dict):
        raise wrong(file, where, entry, "an object with 'name', 'path' and 'type'")
    name, kwargs = entry.get("name", str(position)), entry.get("kwargs") or []
    if not isinstance(name, str):
        raise wrong(file, f"'name' of {where}", name, "a string")
    if not isinstance(kwargs, list) or not all(isinstance(word, str) for word in kwargs):
        raise wrong(file, f"'kwargs' of {where}", kwargs, "a list of strings")
    kind = _kind(file, where, entry.get("type"))
    path = _inner_folder(folder, file, where, entry.get("path"), kind)
    if kind == "Transformer" and is_clip(path):  # since 5.4 saved under the name of the module for texts
        kind = "CLIPModel"
    spec = ModuleSpec(kind, path, _config(path, kind), name, tuple(kwargs))
    if kind in ("Router", "Asym"):
        submodules(spec)  # for its checks: nothing foreign hides one level down
    return spec


def is_clip(folder: Path) -> bool:
    """Whether a folder holds a transformers CLIP model, texts and images both."""
    file = folder / "config.json"
    return file.is_file() and read_object(file).get("model_type") == "clip"


def _kind(file: Path, where: str, class_path: object) -> str:
    """The class name of a class path of sentence-transformers; any other class is refused."""
    if not isinstance(class_path, str):
        raise wrong(file, f"'type' of {where}", class_path, "a class path")
    match = _CLASS_PATH.fullmatch(class_path)
    if match is None:
        fix = "Use a model that is made of sentence-transformers' own modules."
        if class_path.startswith("transformers."):
            fix = "Without modules.json the folder loads as a plain transformers model with mean pooling."
        problem = f"{file}: {where} is of the foreign class {shown(class_path)}, and no code of a checkpoint is run."
        raise ModelError(problem, fix)
    kind = match["kind"]
    if kind not in _CONFIGS:
        problem = f"{file}: {where} is of the unknown class {shown(class_path)}."
        raise ModelError(problem, f"Use a model of the known classes: {', '.join(_CONFIGS)}.")
    return kind


def _inner_folder(folder: Path, file: Path, where: str, path: object, kind: str) -> Path:
    """The folder of a module, which must lie inside the model in POSIX and in Windows spelling."""
    if not isinstance(path, str):
        raise wrong(file, f"'path' of {where}", path, "a string")
    spelled = PureWindowsPath(path)
    # No file system takes more than 255 bytes in a name; real ones are short, and what follows must not fail on it.
    plain = path.isprintable() and len(path.encode()) <= 200
    if spelled.anchor or ".." in spelled.parts or not plain:
        raise ModelError(
            f"{file}: 'path' of {where} is {shown(path)}, which is no plain path inside the model folder.",
            "Do not use this model, unless you can mend the path and know why it was like that.",
        )
    if (folder / path).is_dir() or kind in _MAY_LACK_FOLDER:
        return folder / path
    raise ModelError(
        f"{file}: the folder {shown(path)} of {where} ({kind}) does not exist in '{folder}'.",
        "Download or copy the model again, with all of its folders.",
    )


def _config(folder: Path, kind: str) -> dict[str, Any]:
    """The module's own JSON under the first of its names that exists."""
    if kind in ("Transformer", "CLIPModel") and not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise ModelError(
            f"'{folder}' has no config.json" + (", only a PEFT adapter." if adapter else ", so no transformer."),
            "Merge the adapter into its base model and save that." if adapter else "Download or copy the model again.",
        )
    stored = [read_object(folder / name) for name in _CONFIGS[kind] if (folder / name).is_file()]
    if not stored and kind not in _WORK_WITHOUT_CONFIG:
        raise ModelError(
            f"'{folder}' has no {' or '.join(_CONFIGS[kind])}, without which a {kind} cannot be built.",
            "Download or copy the model again.",
        )
    config = next(filter(None, stored), {})
    for key in _ARGUMENTS:  # a checkpoint may not ask for its own code to be run
        if isinstance(config.get(key), dict):
            config[key].pop("trust_remote_code", None)
    return config

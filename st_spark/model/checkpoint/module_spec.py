"""Check one module of a checkpoint: its class, its folder and its config, before anything is loaded."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from st_spark.errors import ModelError
from st_spark.model.checkpoint.json_files import invalid, read_object, shown
from st_spark.model.checkpoint.weights import check_weights

ADAPTER = "adapter_config.json"
# transformers has taken over the code of these types: it computes what the code in their checkpoints computes.
_ADOPTED = ("eurobert", "gte", "nomic_bert")
# Settings of Nomic's own code that transformers does not read, with the values that its class has.
_NOMIC: dict[str, object] = {
    "n_head": 12,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "prenorm": False,
    "layer_norm_epsilon": 1e-12,
    "activation_function": "swiglu",
}
# Classes that transformers has in Python alone.
_SLOW_TOKENIZERS = ("BertJapaneseTokenizer", "BertweetTokenizer", "PhobertTokenizer")
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
    specs = [read_module(router.path, file, position, entry) for position, entry in enumerate(entries)]
    if not structure:
        raise invalid(file, "'structure'", structure, "an object with at least one route")
    return {spec.name: spec for spec in specs}


def read_module(folder: Path, file: Path, position: int, entry: object) -> ModuleSpec:
    """Return a checked entry of modules.json or of a router's types."""
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
    spec = ModuleSpec(kind, path, _config(path, kind), name, tuple(kwargs))
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


def _config(folder: Path, kind: str) -> dict[str, Any]:
    """Return the content of the module's first config file that exists and is not empty."""
    if kind in ("Transformer", "CLIPModel"):
        check_transformer(folder)
    stored = [read_object(folder / name) for name in _CONFIGS[kind] if (folder / name).is_file()]
    if not stored and kind not in _WORK_WITHOUT_CONFIG:
        raise ModelError(
            f"'{folder}' has no {' or '.join(_CONFIGS[kind])}, which a {kind} needs.",
            "Download or copy the model again.",
        )
    config = next(filter(None, stored), {})
    if kind == "Transformer":
        _check_settings(folder / _CONFIGS[kind][0], config)
    for key in _ARGUMENTS:  # a checkpoint may not switch on its own code
        if isinstance(config.get(key), dict):
            config[key].pop("trust_remote_code", None)
    return config


def check_transformer(folder: Path) -> None:
    """Check that a transformers checkpoint has its files, and needs no code and no package that are not here.

    Raises:
        ModelError: config.json or weights are missing, the architecture is code in the checkpoint, or an adapter needs
            the package peft.
    """
    adapter, file = (folder / ADAPTER).is_file(), folder / "config.json"
    if not file.is_file():
        raise ModelError(
            f"'{folder}' has no config.json" + (", only a PEFT adapter." if adapter else ", so no transformer."),
            "Merge the adapter into its base model and save that." if adapter else "Download or copy the model again.",
        )
    config = read_object(file)
    code = config.get("auto_map")
    if isinstance(code, dict) and "AutoModel" in code and config.get("model_type") not in _ADOPTED:
        problem = f"{file}: the model is code of its own ({shown(code['AutoModel'])}), which is never run."
        raise ModelError(problem, "Use a model whose architecture transformers has.")
    for key, value in _NOMIC.items() if config.get("model_type") == "nomic_bert" else ():
        if config.get(key, value) != value:
            raise invalid(file, repr(key), config[key], f"{value!r}: transformers has no other nomic_bert")
    check_weights(folder)
    tokenizer = folder / "tokenizer_config.json"
    slow = read_object(tokenizer).get("tokenizer_class") if tokenizer.is_file() else None
    if slow in _SLOW_TOKENIZERS and not (folder / "tokenizer.json").is_file():
        raise ModelError(f"'{folder}' has only the slow tokenizer {slow}.", "Use a model that has a tokenizer.json.")
    if adapter and importlib.util.find_spec("peft") is None:
        raise ModelError(
            f"'{folder}' has a PEFT adapter ({ADAPTER}), and the package peft is not installed.",
            "pip install peft, on the executors too; or merge the adapter into its base model and save that.",
        )


def _check_settings(file: Path, config: Mapping[str, Any]) -> None:
    """Raise ModelError for settings of sentence-transformers 5 and 6 that change vectors and that we do not have."""
    for key in ("query_length", "document_length", "query_expansion"):
        if config.get(key) is not None:
            raise invalid(file, repr(key), config[key], "null: lengths for each task are not supported")
    modalities = config.get("modality_config") or {}
    if "message" in modalities:
        raise invalid(file, "'modality_config'", modalities, "without 'message': chat templates are not supported")
    calls = config.get("processing_kwargs") or {}
    text = calls.get("text", {}) if isinstance(calls, dict) else None
    if not isinstance(text, dict) or set(calls) - {"text"} or set(text) - {"max_length", "padding", "truncation"}:
        raise invalid(file, "'processing_kwargs'", calls, 'an object such as {"text": {"max_length": 128}}')

"""Read the arguments of sentence-transformers: old names, settings of transformers, and what cannot be honoured."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from st_spark.errors import InputError, did_you_mean
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.inputs.prompts import check_characters

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")

_FOLDER = "give the folder itself as model_name_or_path, with snapshot_download of huggingface_hub for a hub model"
# Arguments that some version of sentence-transformers takes and this package does not, and what to do.
_FIXES = {
    "modules": "save the model with sentence_transformers, and give its folder as model_name_or_path.",
    "model_card_data": "leave it out: it describes a model that is saved, and nothing is saved here.",
    "subfolder": f"{_FOLDER}.",
    "processing_kwargs": "set model.max_seq_length for another length.",
}
_BACKEND = "leave it out, or use sentence_transformers: ONNX and OpenVINO do not run here."
# Keys of model_kwargs that need nothing: weights are read the same, and attention has one implementation here.
_NOT_NEEDED = ("attn_implementation", "low_cpu_mem_usage", "use_safetensors", "trust_remote_code")
_MODEL_FIXES = {"provider": _BACKEND, "file_name": _BACKEND, "export": _BACKEND, "subfolder": f"{_FOLDER}."}

_TRAIN = "use sentence_transformers for it; this package loads the folder that it saves."
# What a SentenceTransformer of sentence-transformers has and this one does not, and what to use.
_INSTEAD = {
    **dict.fromkeys(("fit", "old_fit", "evaluate", "smart_batching_collate", "add_adapter", "load_adapter"), _TRAIN),
    **dict.fromkeys(("save", "save_pretrained", "save_to_hub", "push_to_hub", "state_dict", "parameters"), _TRAIN),
    **dict.fromkeys(("half", "bfloat16", "float"), 'give the constructor dtype="float32" or another format.'),
    **dict.fromkeys(("cuda", "cpu"), 'give the constructor device="cuda" or device="cpu".'),
    **dict.fromkeys(("tokenize", "preprocess", "forward"), "use model.tokenizer, or encode() with output_value=None."),
    "compile": "leave it out: texts are not padded here, and the model runs as fast without it.",
}


def takes(**old_names: str) -> Callable[[Callable[Parameters, Value]], Callable[Parameters, Value]]:
    """Return a decorator: a function also takes arguments by old names, and an unknown one is an InputError.

    Args:
        old_names: The current name of each old one.
    """

    def decorate(function: Callable[Parameters, Value]) -> Callable[Parameters, Value]:
        parameters = inspect.signature(function).parameters
        passes_on = any(each.kind is each.VAR_KEYWORD for each in parameters.values())

        @functools.wraps(function)
        def run(*args: Parameters.args, **options: Parameters.kwargs) -> Value:
            for name in old_names.keys() & options.keys():
                if old_names[name] in options:
                    raise InputError(f"{name} and {old_names[name]} are the same.", f"give {old_names[name]} alone.")
                options[old_names[name]] = options.pop(name)
            for name in options.keys() - parameters.keys() if not passes_on else ():
                if options.pop(name) is not None or name not in _FIXES:
                    raise _unknown(function.__qualname__, name, parameters)
            return function(*args, **options)

        return run

    return decorate


def _unknown(function: str, name: str, known: Mapping[str, Any]) -> InputError:
    function = function.removesuffix(".__init__")
    fix = _FIXES.get(name, f"leave it out; there are {', '.join(list(known)[1:])}.")
    return InputError(f"{function} takes no argument {name!r}{did_you_mean(name, known)}.", fix)


def by_name(function: Callable[..., Any], args: Sequence[Any], first: int) -> dict[str, Any]:
    """Return arguments by their names, of which the first one is at position `first` of the function."""
    names = list(inspect.signature(function).parameters)[first:]
    if len(args) > len(names):
        raise InputError(f"{function.__qualname__} takes no {first + len(args)} arguments.", "give them by name.")
    return dict(zip(names, args, strict=False))


def missing_attribute(name: str) -> str:
    """Return what to say about an attribute that a model does not have."""
    problem = f"A SentenceTransformer of st_spark has no attribute {name!r}."
    return f"{problem} Fix: {_INSTEAD[name]}" if name in _INSTEAD else problem


def check_token_results(output_value: object, precision: str) -> None:
    """Check that an output_value other than sentence embeddings is known and has no precision; InputError if not."""
    if output_value not in ("token_embeddings", None):
        fix = 'give "sentence_embedding", "token_embeddings" or None.'
        raise InputError(f"output_value={output_value!r} is unknown.", fix)
    if precision != "float32":
        problem = f"precision={precision!r} is for sentence embeddings, and output_value is {output_value!r}."
        raise InputError(problem, "leave precision out.")


def merged_prompts(stored: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the prompts of a model; given ones replace stored ones. InputError for one that is no text."""
    texts = {name: text for name, text in given.items() if text is not None}
    for name, text in texts.items():
        check_characters(f"prompts[{name!r}]", text)
    return {**stored, **texts}


def check_backend(backend: str) -> None:
    """Check that the backend is torch; InputError if not."""
    if backend != "torch":
        raise InputError(f"backend={backend!r} is not supported.", _BACKEND.replace("it out", 'backend="torch"'))


def dtype_and_device(
    dtype: str,
    device: Any,  # noqa: ANN401  (a name, a torch.device or None)
    model_kwargs: Mapping[str, Any] | None,
) -> tuple[str, Any]:
    """Return the number format and the device, which model_kwargs may name too: dtype, torch_dtype and device_map.

    Raises:
        InputError: Two different formats, a device_map for more than one device, or another key.
    """
    given = {name: value for name, value in (model_kwargs or {}).items() if value is not None}
    formats = {str(given.pop(name)).removeprefix("torch.") for name in ("dtype", "torch_dtype") if name in given}
    formats |= set() if dtype == "auto" else {dtype}
    if len(formats) > 1:
        raise InputError(f"Two number formats are given: {', '.join(sorted(formats))}.", "give dtype= alone.")
    placed = given.pop("device_map", None)
    if isinstance(placed, Mapping) and len(set(placed.values())) == 1:
        placed = next(iter(placed.values()))
    if isinstance(placed, Mapping) or placed in ("balanced", "balanced_low_0", "sequential"):
        problem = f"model_kwargs['device_map'] is {placed!r}: a model is on one device here."
        raise InputError(problem, 'give device="cuda:0", for instance.')
    for name in given:
        if name not in _NOT_NEEDED:
            fix = _MODEL_FIXES.get(name, "leave it out; dtype, torch_dtype and device_map have an effect here.")
            raise InputError(f"model_kwargs[{name!r}] is not supported.", fix)
    return next(iter(formats), "auto"), device if placed in (None, "auto") else placed


def with_settings(
    modules: Sequence[ModuleSpec], processor_kwargs: Mapping[str, Any] | None, config_kwargs: Mapping[str, Any] | None
) -> list[ModuleSpec]:
    """Return modules whose first one loads its tokenizer and its config with these arguments, too.

    Raises:
        InputError: The first module is no transformer.
    """
    given = {("tokenizer_args", "processor_kwargs"): processor_kwargs, ("config_args", "config_kwargs"): config_kwargs}
    first, *others = modules
    settings = dict(first.config)
    for (old, name), arguments in given.items():
        if not arguments:
            continue
        if first.kind not in ("Transformer", "CLIPModel"):
            raise InputError(f"{name} is given, and a {first.kind} has no such settings.", "leave it out.")
        settings[name] = {**(settings.pop(old, None) or settings.get(name) or {}), **arguments}
    return [replace(first, config=settings), *others]

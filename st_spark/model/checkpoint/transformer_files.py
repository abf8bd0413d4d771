"""Check the files of a transformers checkpoint by their names and JSON alone: nothing is loaded, no code runs."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from st_spark.errors import ModelError
from st_spark.model.checkpoint.faults import Faults
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
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "parallel_block": False,
    "prenorm": False,
    "layer_norm_epsilon": 1e-12,
    "activation_function": "swiglu",
}
# How sentence-transformers describes a model of texts.
_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
# Classes that transformers has in Python alone.
_SLOW_TOKENIZERS = ("BertJapaneseTokenizer", "BertweetTokenizer", "PhobertTokenizer")


def check_transformer(folder: Path) -> None:
    """Check that a transformers checkpoint has its files, and needs no code and no package that are not here.

    Raises:
        ModelError: config.json or weights are missing, the architecture is code in the checkpoint, the weights are
            quantised, the tokenizer exists in Python alone, or an adapter needs the package peft.
    """
    if not (folder / "config.json").is_file():
        check_config(folder)  # the one thing to say
    faults = Faults()
    for check in (check_config, check_weights, check_tokenizer, _check_adapter):
        with faults.catch():
            check(folder)
    faults.check()


def check_config(folder: Path) -> dict[str, Any]:
    """Return the content of config.json; ModelError if transformers would not compute this model with its own code."""
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
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        problem = f"{file}: the weights are quantised ({shown(method)}), which needs packages and devices of its own."
        raise ModelError(problem, "Use the model that it was quantised from.")
    return config


def check_embeds(folder: Path, config: Mapping[str, Any]) -> None:
    """Check that a transformers folder without modules.json is a model that gives vectors.

    Raises:
        ModelError: It is a cross-encoder or a classifier, or it chats: sentence-transformers would put each text into
            its chat template.
    """
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    own = (
        "save it with sentence-transformers, with the pooling that it was trained with, if its vectors have a meaning."
    )
    if name.endswith("ForSequenceClassification"):
        problem = f"{folder}/config.json: {name} is a cross-encoder or a classifier: it gives scores, and no vectors."
        raise ModelError(problem, f"Use a model for embeddings; or {own}")
    file = folder / "tokenizer_config.json"
    stored = read_object(file) if file.is_file() else {}
    if stored.get("chat_template") or (folder / "chat_template.jinja").is_file():
        problem = f"'{folder}' has a chat template and no modules.json: it writes text, and gives no vectors."
        raise ModelError(problem, f"Use a model for embeddings; or {own}")


def check_settings(file: Path, config: Mapping[str, Any]) -> None:
    """Raise ModelError for settings of sentence-transformers 5 and 6 that change vectors and that we do not have."""
    for key in ("query_length", "document_length", "query_expansion"):
        if config.get(key) is not None:
            raise invalid(file, repr(key), config[key], "null: lengths for each task are not supported")
    task = config.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise invalid(file, "'transformer_task'", task, "feature-extraction: only vectors are supported")
    modalities = config.get("modality_config") or {"text": _TEXT}
    if "message" in modalities:
        raise invalid(file, "'modality_config'", modalities, "without 'message': chat templates are not supported")
    output = config.get("module_output_name") or "token_embeddings"
    if modalities.get("text") != _TEXT or output != "token_embeddings":
        wanted = f"{{'text': {_TEXT}}}, with the module_output_name token_embeddings"
        raise invalid(file, "'modality_config'", {**modalities, "module_output_name": output}, wanted)
    calls = config.get("processing_kwargs") or {}
    # What is for images or for chat templates does not matter to texts, and unknown names are ignored.
    text = calls.get("text") or {} if isinstance(calls, dict) and not calls.get("common") else None
    cuts = isinstance(text, dict) and text.get("truncation", True) in (True, "longest_first")
    if not isinstance(text, dict) or set(text) - {"max_length", "padding", "truncation"} or not cuts:
        raise invalid(file, "'processing_kwargs'", calls, 'an object such as {"text": {"max_length": 128}}')


def check_tokenizer(folder: Path) -> None:
    """Raise ModelError for a tokenizer that transformers has in Python alone."""
    file = folder / "tokenizer_config.json"
    slow = read_object(file).get("tokenizer_class") if file.is_file() else None
    if slow in _SLOW_TOKENIZERS and not (folder / "tokenizer.json").is_file():
        problem = f"'{folder}' has only the tokenizer {slow}, which is written in Python and too slow for tables."
        raise ModelError(
            problem, "Use a model that has a tokenizer.json; `st-spark models` lists some for each language."
        )


def _check_adapter(folder: Path) -> None:
    if (folder / ADAPTER).is_file() and importlib.util.find_spec("peft") is None:
        raise ModelError(
            f"'{folder}' has a PEFT adapter ({ADAPTER}), and the package peft is not installed.",
            "pip install peft, on the executors too; or merge the adapter into its base model and save that.",
        )

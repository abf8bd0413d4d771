"""The Transformer module: tokenizer and encoder of a checkpoint."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from st_spark.errors import ModelError
from st_spark.model.backbones import bert, t5
from st_spark.model.backbones.bert import BertBackbone
from st_spark.model.backbones.t5 import T5Backbone
from st_spark.model.backbones.transformers_model import TransformersBackbone
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import Tokenizer, Tokens
from st_spark.model.modules.interfaces import InputModule


class Transformer(InputModule):
    """Turns texts into token embeddings with a transformers checkpoint; its config is sentence_bert_config.json."""

    tokenizer: Tokenizer

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        config = load_config(spec)
        self.dtype = dtype
        self.tokenizer = load_tokenizer(spec)
        if spec.config.get("max_seq_length") is None:
            self.max_length = min(self.tokenizer.max_length, _position_limit(config))
        self.backbone = _backbone(spec, config, dtype, device)

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens:
        """Tokenize texts and pairs, with the prompt before each."""
        tokens = self.tokenizer(prefixed(inputs, prompt))
        return replace(tokens, prompt_length=self.tokenizer.count_prompt(prompt)) if prompt else tokens

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the token embeddings."""
        return self.backbone(batch)

    def dimension(self, width: int) -> int:
        """Return the width of the token embeddings."""
        return self.backbone.dimension


def load_tokenizer(spec: ModuleSpec) -> Tokenizer:
    """Return the tokenizer of a transformers checkpoint, as the module's config wants it."""
    settings = spec.config
    options = dict(settings.get("tokenizer_args") or settings.get("processor_kwargs") or {})
    return Tokenizer(spec.path, settings.get("max_seq_length"), bool(settings.get("do_lower_case")), options)


def load_config(spec: ModuleSpec) -> Any:  # noqa: ANN401  (a config of any class)
    """Return the transformers config of a module's folder.

    Raises:
        ModelError: There is none, or only its own code could read it.
    """
    from transformers import AutoConfig

    options = dict(spec.config.get("config_args") or {})
    options.pop("trust_remote_code", None)
    try:
        return AutoConfig.from_pretrained(spec.path, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{spec.path}/config.json cannot be used: {str(error).splitlines()[0]}",
            "the folder needs the config.json of an architecture that transformers knows; code from a checkpoint "
            "never runs here.",
        ) from error


def _backbone(
    spec: ModuleSpec,
    config: Any,  # noqa: ANN401  (a transformers config of any class)
    dtype: torch.dtype,
    device: torch.device,
) -> BertBackbone | T5Backbone | TransformersBackbone:
    """Return the packed forward of the architecture, or the transformers fallback."""
    if t5.covers(config):
        return T5Backbone(Weights(spec.path), config, dtype, device)
    architecture = bert.find_architecture(config)
    if architecture is None:
        return TransformersBackbone(spec.path, config, dtype, device)
    return BertBackbone(Weights(spec.path), config, architecture, dtype, device)


def _position_limit(config: Any) -> int:  # noqa: ANN401
    """Return how many tokens the position embeddings allow; RoBERTa and similar models lose padding_idx + 1 of them."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit < 1:
        return 2**31 - 1
    architecture = bert.find_architecture(config)
    offset = config.pad_token_id + 1 if architecture is not None and architecture.positions_skip_padding else 0
    return int(limit) - offset

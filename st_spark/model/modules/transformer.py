"""The Transformer module: tokenizer and encoder of a checkpoint, packed where its architecture allows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from st_spark.errors import ModelError
from st_spark.model.backbones import architectures, t5
from st_spark.model.backbones.bert import Backbone
from st_spark.model.backbones.t5 import T5Backbone
from st_spark.model.backbones.transformers_model import PaddedBackbone
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import Tokenizer, Tokens


class Transformer:
    """Token ids to token embeddings, with the tokenizer that makes the ids.

    Args:
        folder: A transformers checkpoint.
        settings: Its sentence_bert_config.json (or what stands in for it).
        dtype: What to compute in.
        device: Where.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> None:
        config = load_config(folder, dict(settings.get("config_args") or {}))
        self.dtype = dtype
        self.tokenizer = Tokenizer(
            folder,
            settings.get("max_seq_length"),
            bool(settings.get("do_lower_case")),
            dict(settings.get("tokenizer_args") or settings.get("processor_kwargs") or {}),
        )
        if settings.get("max_seq_length") is None:
            self.tokenizer.auto.model_max_length = min(self.tokenizer.max_length, position_limit(config))
        self.backbone = _backbone(folder, config, dtype, device)

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "Transformer":
        """Loads tokenizer and encoder."""
        return cls(spec.path, spec.config, dtype, device)

    @property
    def max_length(self) -> int:
        """Most tokens of a text, special ones included."""
        return self.tokenizer.max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.tokenizer.auto.model_max_length = value

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens:
        """Tokens of texts and pairs, with the prompt before each."""
        tokens = self.tokenizer(prefixed(inputs, prompt))
        return replace(tokens, prompt_length=self.tokenizer.count_prompt(prompt)) if prompt else tokens

    def __call__(self, batch: Packed) -> Packed:
        """Fills in the token embeddings."""
        return self.backbone(batch)

    def dimension(self, width: int) -> int:
        """Width of the token embeddings; what comes in has none."""
        return self.backbone.dimension


def _backbone(
    folder: Path,
    config: Any,  # noqa: ANN401  (a transformers config of any class)
    dtype: torch.dtype,
    device: torch.device,
) -> Backbone | T5Backbone | PaddedBackbone:
    """The packed forward of the architecture, or transformers' own where there is none."""
    if t5.covers(config):
        return T5Backbone(Weights(folder), config, dtype, device)
    architecture = architectures.find(config)
    if architecture is None:
        return PaddedBackbone(folder, config, dtype, device)
    return Backbone(Weights(folder), config, architecture, dtype, device)


def load_config(folder: Path, options: dict[str, Any]) -> Any:  # noqa: ANN401  (a config of any class)
    """The transformers config of a folder.

    Raises:
        ModelError: None there, or one that only its own code could read.
    """
    from transformers import AutoConfig

    kept = {name: value for name, value in options.items() if name != "trust_remote_code"}
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **kept)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{folder}/config.json cannot be used: {str(error).splitlines()[0]}",
            "the folder needs the config.json of an architecture that transformers knows; code from a checkpoint "
            "never runs here.",
        ) from error


def position_limit(config: Any) -> int:  # noqa: ANN401
    """Most tokens that the position embeddings allow; RoBERTa and its kin lose padding_idx + 1 of them."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit < 1:
        return 2**31 - 1
    architecture = architectures.find(config)
    offset = config.pad_token_id + 1 if architecture is not None and architecture.after_padding else 0
    return int(limit) - offset

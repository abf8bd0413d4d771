"""The Transformer module: tokenizer and encoder of a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from st_spark.errors import InputError, ModelError
from st_spark.model.backbones import bert, rotary, t5
from st_spark.model.backbones.bert import BertBackbone
from st_spark.model.backbones.rotary import RotaryBackbone
from st_spark.model.backbones.t5 import T5Backbone
from st_spark.model.backbones.transformers_model import TransformersBackbone
from st_spark.model.checkpoint.faults import Faults
from st_spark.model.checkpoint.json_files import invalid
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.transformer_files import ADAPTER, check_config
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.batching import longest_first
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.sample_texts import TEXTS, random_texts
from st_spark.model.inputs.tokenizer import Tokenizer, Tokens
from st_spark.model.modules.interfaces import InputModule

# The names of a number of layers in config.json.
_DEPTHS = {
    *("num_hidden_layers", "num_layers", "n_layers", "n_layer", "encoder_layers", "decoder_layers"),
    *("num_encoder_layers", "num_decoder_layers"),
}
# So many layers may share their weights, as in ALBERT: albert-large has 24 layers of 23 tensors.
_SHARED_DEPTH = 256
# The cosine to float32 that dtype "int8" promises for the mean of the token embeddings of the sample texts.
_INT8_COSINE = 0.98


class Transformer(InputModule):
    """Turns texts into token embeddings with a transformers checkpoint; its config is sentence_bert_config.json."""

    tokenizer: Tokenizer

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        faults = Faults()  # each part is tried, so that one error says all that is wrong
        weights, config, self.tokenizer = load_files(spec, faults)
        with faults.catch():
            self.backbone = _backbone(spec, weights, config, dtype, device)
        faults.check()
        self.dtype = self.backbone.dtype
        self.tokenizer.check_vocabulary(spec.path, self.backbone.rows)
        self.pads = isinstance(self.backbone, TransformersBackbone) and self.backbone.pads_up_to > 0
        self.set_limits(self.tokenizer.specials, self.backbone.max_length)
        if dtype is torch.int8 and isinstance(self.backbone, BertBackbone):
            self._to_int8(self.backbone, spec.path)
            self.dtype = torch.int8

    def _to_int8(self, backbone: BertBackbone, folder: Path) -> None:
        """Let a backbone compute in int8; ModelError if its vectors then differ too much."""
        tokens = self.prepare([*TEXTS, *random_texts(self.tokenizer.auto)], None)
        rows = longest_first(tokens.lengths)
        batch, real = tokens.take(rows, backbone.device), torch.from_numpy(rows < len(TEXTS))
        with torch.inference_mode():
            exact, low = _means(backbone.to_int8(batch)), _means(backbone(batch))
            cosine = float(F.cosine_similarity(exact[real], low[real]).min())
        if not cosine >= _INT8_COSINE:
            problem = f"{folder}: in int8 the vectors of this model have a cosine to float32 of only {cosine:.3f}."
            raise ModelError(f"{problem} st-spark asks for {_INT8_COSINE}.", "use dtype='auto'.")

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens:
        """Tokenize texts and pairs, with the prompt before each."""
        tokens = self._known(self.tokenizer(prefixed(inputs, prompt)))
        return replace(tokens, prompt_length=self.tokenizer.count_prompt(prompt)) if prompt else tokens

    def _known(self, tokens: Tokens) -> Tokens:
        """Return tokens with the unknown token for those that the model has no embedding of.

        EmbeddingGemma's tokenizer knows <image_soft_token>, whose id is one beyond the table.
        """
        beyond = tokens.ids >= self.backbone.rows
        if not beyond.any():
            return tokens
        unknown = self.tokenizer.auto.unk_token_id
        if unknown is None:
            raise InputError("a text holds a token that the model has no embedding of.", "leave special tokens out.")
        return replace(tokens, ids=np.where(beyond, unknown, tokens.ids))

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the token embeddings."""
        return self.backbone(batch)

    def dimension(self, width: int) -> int:
        """Return the width of the token embeddings."""
        return self.backbone.dimension


def _means(batch: Packed) -> torch.Tensor:
    """Return the mean token embedding of each text, [texts, width]."""
    return torch.stack([each.mean(0) for each in batch.token_embeddings().split(batch.lengths.tolist())])


def load_files(spec: ModuleSpec, faults: Faults) -> tuple[Weights, Any, Any]:
    """Open the weights of a transformers checkpoint, and read its config and its tokenizer.

    A tokenizer that cannot be used is a fault, so that the caller can look at the weights, too.

    Raises:
        ModelError: The weights or the config cannot be used.
    """
    if not (spec.path / "config.json").is_file():
        check_config(spec.path)  # the one thing to say
    tokenizer = weights = config = None
    with faults.catch():
        weights = Weights(spec.path)
        config = load_config(spec, weights)
    if weights is None or config is not None:  # transformers reads config.json for the tokenizer, too
        with faults.catch():
            tokenizer = load_tokenizer(spec, config)
    if weights is None or config is None:
        faults.check()
    return weights, config, tokenizer


def load_tokenizer(spec: ModuleSpec, config: Any) -> Tokenizer:  # noqa: ANN401  (a transformers config, or None)
    """Return the tokenizer of a transformers checkpoint, as the module's config wants it."""
    settings = spec.config
    options = dict(settings.get("tokenizer_args") or settings.get("processor_kwargs") or {})
    text = (settings.get("processing_kwargs") or {}).get("text") or {}
    stored = text.get("max_length", options.get("model_max_length", settings.get("max_seq_length")))
    if stored is not None and (type(stored) is not int or stored < 1):
        places = (("max_length", text), ("model_max_length", options), ("max_seq_length", settings))
        key = next(name for name, given in places if name in given)
        raise invalid(spec.path, repr(key), stored, "a whole number of tokens, 1 or more")
    tokenizer = Tokenizer(spec.path, stored, bool(settings.get("do_lower_case")), options)
    most = getattr(config.get_text_config(), "max_position_embeddings", None) if config is not None else None
    if stored is None and isinstance(most, int) and most > 0:
        tokenizer.max_length = min(tokenizer.max_length, most)
    return tokenizer


def load_config(spec: ModuleSpec, weights: Weights) -> Any:  # noqa: ANN401  (a config of any class)
    """Return the transformers config of a module's folder.

    Raises:
        ModelError: There is none, only its own code could read it, or it has more layers than there are weights.
    """
    from transformers import AutoConfig

    _check_depth(spec.path / "config.json", check_config(spec.path), len(weights))
    options = dict(spec.config.get("config_args") or spec.config.get("config_kwargs") or {})
    options.pop("trust_remote_code", None)
    try:
        return AutoConfig.from_pretrained(spec.path, local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:  # of any kind: each architecture has its own checks
        raise ModelError(
            f"{spec.path}/config.json cannot be used: {' '.join(str(error).split())[:200]}.",
            "the folder needs the config.json of an architecture that transformers knows; code from a checkpoint "
            "never runs here.",
        ) from error


def _check_depth(file: Path, config: Mapping[str, Any], tensors: int) -> None:
    """Raise ModelError if a config asks for more layers than there are tensors: building them would take for ever."""
    for key, value in config.items():
        if isinstance(value, dict):
            _check_depth(file, value, tensors)
        elif key in _DEPTHS and isinstance(value, int) and value > max(tensors, _SHARED_DEPTH):
            most = max(tensors, _SHARED_DEPTH)
            raise invalid(file, repr(key), value, f"at most {most}, for {tensors} tensors in the weights")


def _backbone(
    spec: ModuleSpec,
    weights: Weights,
    config: Any,  # noqa: ANN401  (a transformers config of any class)
    dtype: torch.dtype,
    device: torch.device,
) -> BertBackbone | RotaryBackbone | T5Backbone | TransformersBackbone:
    """Return the packed forward of the architecture, or the transformers fallback."""
    plain = torch.float32 if dtype is torch.int8 else dtype  # only BERT's forward has int8
    if (spec.path / ADAPTER).is_file():
        return _fallback(spec, config, plain, device)
    if architecture := bert.find_architecture(config):
        return BertBackbone(weights, config, architecture, dtype, device)
    if settings := rotary.read_settings(config):
        return RotaryBackbone(weights, settings, plain, device)
    if t5.covers(config):
        return T5Backbone(weights, config, plain, device)
    return _fallback(spec, config, plain, device)


def _fallback(spec: ModuleSpec, config: Any, dtype: torch.dtype, device: torch.device) -> TransformersBackbone:  # noqa: ANN401
    if device.type == "meta":  # a check: its weights stay mapped from their files, in their own format
        return TransformersBackbone(spec.path, config, "auto", torch.device("cpu"))
    return TransformersBackbone(spec.path, config, dtype, device)

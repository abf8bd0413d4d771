"""The fallback for architectures without a packed forward: transformers' own model, each micro-batch padded."""

import inspect
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from st_spark.errors import ModelError
from st_spark.model.checkpoint.weights import BUFFERS, check_finite, some
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.tokenizer import NO_LIMIT

# Slower in bfloat16 on a CPU: their convolutions have no fast kernel for it.
_FLOAT32 = ("convbert",)
# Their vectors would be wrong, and nothing would say so.
_WRONG = {
    "mra": "transformers skips its attention where its own GPU code is missing",
    "reformer": "it draws random numbers, and gives other vectors each time",
}
# A model whose forward changes it, as BigBird's, computes one micro-batch at a time.
_ALONE = threading.Lock()
_CHOOSE = "choose a text encoder, or a CLIP model for images."
_POSITIONS = re.compile(r"(^|\.)(position_embeddings?|positions_embed|embed_positions|wpe)$")


class TransformersBackbone:
    """Turns token ids into token embeddings with transformers' AutoModel.

    Some architectures mix padding into the text, mask or not, such as ConvBERT, FNet and MobileBERT: they get texts of
    one length at a time.

    Args:
        folder: The checkpoint.
        config: Its transformers config.
        dtype: Number format of the computation; "auto" for the stored one.
        device: Where to compute.

    Raises:
        ModelError: The weights cannot be loaded, are not exactly the weights of the architecture, or belong to an
            architecture that does not read texts alone.
    """

    def __init__(
        self,
        folder: Path,
        config: Any,  # noqa: ANN401
        dtype: torch.dtype | str,
        device: torch.device,
    ) -> None:
        padding = getattr(config.get_text_config(), "pad_token_id", None)
        self.padding_id = padding if isinstance(padding, int) and padding >= 0 else 0
        self.device = device
        if reason := _WRONG.get(config.model_type):
            raise ModelError(f"{folder}: the architecture {config.model_type} cannot be used: {reason}.", _CHOOSE)
        wanted = torch.float32 if config.model_type in _FLOAT32 and device.type == "cpu" else dtype
        for chosen in dict.fromkeys((wanted, torch.float32)):  # DeBERTa, FNet and XLNet compute in float32 alone
            self.model = _load(folder, config, chosen).to(device).eval()
            self.max_length = position_limit(self.model, config)
            self.rows = self.model.get_input_embeddings().weight.shape[0]
            failure = self._probe()
            if failure is None:
                break
        else:
            problem = f"{folder}: {type(self.model).__name__} cannot encode a text alone ({failure})."
            raise ModelError(problem, _CHOOSE)
        self.dtype: torch.dtype = self.model.dtype
        changing = _rope_types(config) & {"dynamic", "longrope"}  # their angles depend on the longest text of a batch
        self._changes = hasattr(self.model, "set_attention_type") or bool(changing)
        if changing:
            self.pads_up_to = 0
        if "dynamic" in changing:  # beyond, a long text would change the vectors of later ones
            self.max_length = min(self.max_length or NO_LIMIT, int(config.get_text_config().max_position_embeddings))
        self._takes_types = "token_type_ids" in inspect.signature(self.model.forward).parameters

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the token embeddings of a micro-batch."""
        if batch.ids.is_meta:  # a check without numbers: the model has encoded a text when it was loaded
            batch.hidden = torch.empty(len(batch.ids), self.dimension, device="meta")
            return batch
        parts = [slice(0, len(batch.lengths))]
        if batch.lengths.max() > self.pads_up_to:
            parts = [slice(group.row, group.row + group.count) for group in batch.groups]
        layers = [self._run(batch, part) for part in parts if batch.lengths[part].any()]
        if not layers:  # only empty texts, from a tokenizer without special tokens
            layers = [[torch.empty(0, self.dimension, device=self.device, dtype=self.model.dtype)]]
        joined = layers[0] if len(layers) == 1 else [torch.cat(each) for each in zip(*layers, strict=True)]
        batch.hidden, batch.layers = joined[0], list(joined[1:])
        return batch

    def _run(self, batch: Packed, part: slice) -> Sequence[torch.Tensor]:
        """Return the token embeddings of some texts, [tokens, width], and those after each layer if they are kept."""
        lengths = torch.from_numpy(np.ascontiguousarray(batch.lengths[part])).to(self.device)
        start = int(batch.lengths[: part.start].sum())
        tokens = slice(start, start + int(lengths.sum()))
        mask = torch.arange(int(lengths.max()), device=self.device)[None, :] < lengths[:, None]
        inputs = {"input_ids": _pad(batch.ids[tokens], mask, self.padding_id), "attention_mask": mask.long()}
        if batch.types is not None and self._takes_types:
            inputs["token_type_ids"] = _pad(batch.types[tokens], mask, 0)
        with _ALONE if self._changes else nullcontext():
            if hasattr(self.model, "set_attention_type"):  # at a short text BigBird switches to full attention for good
                self.model.set_attention_type(self.model.config.attention_type)
            output = self.model(**inputs)
        kept = output.hidden_states if self.model.config.output_hidden_states else ()
        return [states[mask] for states in (output.last_hidden_state, *kept)]

    def _probe(self) -> str | None:
        """Encode two texts, to learn the width and whether padding changes a text.

        Return why the model cannot be used, or None.
        """
        longest = min(16, self.max_length or 16)
        lengths = torch.tensor([[longest], [longest // 3 + 1]], device=self.device)
        mask = torch.arange(longest, device=self.device)[None, :] < lengths
        tokens = (torch.arange(longest, device=self.device) + self.padding_id + 2) % self.rows
        outputs = []
        try:
            for padding in (self.padding_id, (self.padding_id + 1) % self.rows):
                ids = torch.where(mask, tokens, padding)
                with torch.inference_mode():
                    outputs.append(self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask])
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except Exception as error:  # noqa: BLE001  (of any kind: each architecture has its own code)
            return _reason(error)
        self.dimension = int(outputs[0].shape[1])
        self.pads_up_to = _full_attention(self.model.config) if torch.equal(*outputs) else 0
        return None


def _pad(packed: torch.Tensor, mask: torch.Tensor, value: int) -> torch.Tensor:
    padded = torch.full(mask.shape, value, dtype=packed.dtype, device=packed.device)
    padded[mask] = packed
    return padded


def _load(folder: Path, config: Any, dtype: torch.dtype | str) -> Any:  # noqa: ANN401
    import transformers
    from transformers import AutoModel, AutoModelForTextEncoding

    # T5 and similar models keep a decoder in the same file; transformers' text-encoding class leaves it out.
    auto: Any = AutoModelForTextEncoding if type(config) in AutoModelForTextEncoding._model_mapping else AutoModel
    if config.model_type == "m2m_100":  # SONAR, an encoder without a decoder
        from transformers.models.m2m_100.modeling_m2m_100 import M2M100Encoder as auto  # noqa: N813
    if config.model_type == "t5gemma":
        config.is_encoder_decoder = False  # without it the class refuses to leave the decoder out
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # _check_complete says what matters of its reports
    try:
        model, report = auto.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the report has them
        )
    except Exception as error:  # of any kind: each architecture has its own code
        raise ModelError(
            f"the weights of {folder} cannot be loaded as {config.model_type}: {_reason(error)}.",
            "copy or download the checkpoint again; transformers must know its architecture.",
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    _check_complete(folder, model, report)
    positions = getattr(config, "position_embedding_type", None)
    code = inspect.getsource(inspect.getmodule(type(model)))  # type: ignore[arg-type]
    # Without learned positions the setting is only a name: ModernBERT's models say "sans_pos", GTE's "rope".
    learned = position_limit(model, config) is not None
    if learned and positions not in (None, "absolute") and "position_embedding_type" not in code:
        problem = (
            f"{folder}/config.json says position_embedding_type {positions!r}, which {type(model).__name__} lacks."
        )
        raise ModelError(problem, "choose another model: transformers would compute other vectors.")
    return model


def _check_complete(folder: Path, model: Any, report: dict[str, Any]) -> None:  # noqa: ANN401
    """Check that a checkpoint holds the weights of the model, all and no others; heads and poolers do not matter.

    transformers fills missing weights with random numbers, and leaves out weights that the model does not have.
    """
    for name, tensor in model.named_parameters():
        check_finite(folder, name, tensor)
    parts = {name for name, _ in model.named_children()} - {"pooler"}
    missing = [name for name in report["missing_keys"] if name.split(".")[0] != "pooler"]
    unknown = [
        name
        for name in report["unexpected_keys"]
        if name.removeprefix(f"{model.base_model_prefix}.").split(".")[0] in parts and not BUFFERS.search(name)
    ]
    shapes = [f"{name} {list(stored)} in place of {list(ours)}" for name, stored, ours in report["mismatched_keys"]]
    lists = (("lacks", missing), ("also has", unknown), ("has the shapes", shapes))
    problems = [f"{text} {some(names)}" for text, names in lists if names]
    if problems:
        problem = f"{folder} does not hold the weights of {type(model).__name__}: it {' and '.join(problems)}."
        raise ModelError(problem, "copy or download it again; a checkpoint that needs its own code cannot be used.")


def position_limit(model: Any, config: Any) -> int | None:  # noqa: ANN401
    """Return how many tokens the learned positions allow, or None; RoBERTa's start after the padding id."""
    most = getattr(config.get_text_config(), "max_position_embeddings", None) or 0
    limits = []
    for name, table in model.named_modules():
        if _POSITIONS.search(name) and hasattr(table, "weight"):
            rows = min(len(table.weight), most) if most > 0 else len(table.weight)
            padding = getattr(table, "padding_idx", None)
            limits.append(rows - (0 if padding is None else padding + 1))
    limits += [len(table) for name, table in model.named_buffers() if name.endswith("embed_positions")]  # GPT-J
    limits += [config.max_seq_len] if config.model_type == "mpt" else []  # the length of its ALiBi table
    return min(limits, default=None)


def _rope_types(config: Any) -> set[object]:  # noqa: ANN401
    """Return the kinds of rotary positions of a config, of all of its layers."""
    ropes = getattr(config.get_text_config(), "rope_parameters", None) or {}
    return {rope.get("rope_type") for rope in (ropes, *ropes.values()) if isinstance(rope, Mapping)}


def _full_attention(config: Any) -> int:  # noqa: ANN401
    """Return how long texts may be that can be padded. BigBird's sparse attention depends on the padded length."""
    if config.model_type != "big_bird" or config.attention_type != "block_sparse":
        return NO_LIMIT
    return int(5 + 2 * config.num_random_blocks) * int(config.block_size)


def _reason(error: Exception) -> str:
    """Return the error as one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

"""The fallback for architectures without a packed forward: transformers' own model, each micro-batch padded."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch

from st_spark.errors import ModelError
from st_spark.model.inputs.packed import Packed


class TransformersBackbone:
    """Turns token ids into token embeddings with transformers' AutoModel.

    Args:
        folder: The checkpoint.
        config: Its transformers config.
        dtype: Number format of the computation.
        device: Where to compute.

    Raises:
        ModelError: The weights cannot be loaded.
    """

    def __init__(self, folder: Path, config: Any, dtype: torch.dtype, device: torch.device) -> None:  # noqa: ANN401
        self.model = _load(folder, config, dtype).to(device).eval()
        self.device = device
        self.padding_id = config.pad_token_id if config.pad_token_id is not None else 0
        self._takes_types = "token_type_ids" in inspect.signature(self.model.forward).parameters

    @property
    def dimension(self) -> int:
        """Width of the token embeddings."""
        return int(self.model.config.hidden_size)

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the token embeddings of a micro-batch."""
        longest = int(batch.lengths.max())
        lengths = torch.from_numpy(np.ascontiguousarray(batch.lengths)).to(self.device)
        mask = torch.arange(longest, device=self.device)[None, :] < lengths[:, None]
        inputs = {"input_ids": _pad(batch.ids, mask, self.padding_id), "attention_mask": mask.long()}
        if batch.types is not None and self._takes_types:
            inputs["token_type_ids"] = _pad(batch.types, mask, 0)
        output = self.model(**inputs)
        batch.hidden = output.last_hidden_state[mask]
        if self.model.config.output_hidden_states:
            batch.layers = [layer[mask] for layer in output.hidden_states]
        return batch


def _pad(packed: torch.Tensor, mask: torch.Tensor, value: int) -> torch.Tensor:
    padded = torch.full(mask.shape, value, dtype=packed.dtype, device=packed.device)
    padded[mask] = packed
    return padded


def _load(folder: Path, config: Any, dtype: torch.dtype) -> Any:  # noqa: ANN401
    from transformers import AutoModel, AutoModelForTextEncoding

    # T5 and similar models keep a decoder in the same file; transformers' text-encoding class leaves it out.
    auto = AutoModelForTextEncoding if type(config) in AutoModelForTextEncoding._model_mapping else AutoModel
    try:
        return auto.from_pretrained(
            folder, config=config, dtype=dtype, local_files_only=True, trust_remote_code=False, weights_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"the weights of {folder} cannot be loaded as {config.model_type}: {str(error).splitlines()[0]}",
            "copy or download the checkpoint again; transformers must know its architecture.",
        ) from error

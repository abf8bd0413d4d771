"""What encode() returns for each token, where output_value asks for more than sentence embeddings."""

from typing import Any

import torch

from st_spark.errors import InputError
from st_spark.model.inputs.images import ImageBatch
from st_spark.model.inputs.packed import Packed


def token_embeddings(batch: Packed) -> list[torch.Tensor]:
    """Return the token embeddings of each text, float32 [tokens, width], special tokens included.

    Raises:
        InputError: The model computes none: an image, or a model that only looks up and averages.
    """
    if isinstance(batch, ImageBatch) or (batch.hidden is None and batch.table is None):
        problem = "output_value='token_embeddings' cannot be given: this model has none for these inputs."
        raise InputError(problem, 'leave output_value out, or give output_value="sentence_embedding".')
    return list(batch.token_embeddings().float().split(batch.lengths.tolist()))


def all_results(batch: Packed, with_types: bool, truncate_dim: int | None) -> list[dict[str, Any]]:
    """Return for each text everything that the model computed, by the names of sentence-transformers.

    Nothing is padded, so the attention mask is 1 everywhere.

    Args:
        batch: A micro-batch after the last module.
        with_types: Whether the tokenizer gives token_type_ids.
        truncate_dim: How many leading dimensions of the sentence embedding to keep; None for all.
    """
    parts = {"input_ids": batch.ids, "attention_mask": torch.ones_like(batch.ids)}
    if with_types:
        parts["token_type_ids"] = torch.zeros_like(batch.ids) if batch.types is None else batch.types
    columns: dict[str, Any] = {name: value.split(batch.lengths.tolist()) for name, value in parts.items()}
    columns["token_embeddings"] = token_embeddings(batch)
    columns["sentence_embedding"] = batch.sentence_embeddings()[:, :truncate_dim]
    shared = {"modality": "text", **({"prompt_length": batch.prompt_length} if batch.prompt_length else {})}
    return [dict(zip(columns, row, strict=True)) | shared for row in zip(*columns.values(), strict=True)]

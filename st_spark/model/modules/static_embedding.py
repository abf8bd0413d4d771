"""StaticEmbedding: the mean of the table rows of a text's tokens, also under the names of model2vec."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import Tokens, checked, flat


class StaticEmbedding:
    """Token ids, without special tokens, to the mean of their rows in float32; a text without tokens gives zeros.

    Unlike a Transformer it keeps the truncation of its tokenizer.json.

    Args:
        folder: Its tokenizer.json and its table.
        device: Where to compute.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.dtype = torch.float32
        self.table = _table(Weights(folder)).float().to(device)
        self.tokenizer = _tokenizer(folder / "tokenizer.json")

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "StaticEmbedding":
        """In float32 always: there are no products to speed up."""
        return cls(spec.path, device)

    @property
    def max_length(self) -> int | None:
        """Most tokens of a text; None for no limit."""
        truncation = self.tokenizer.truncation
        return None if truncation is None else int(truncation["max_length"])

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.tokenizer.enable_truncation(value)

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens:
        """Tokens of texts and pairs, with the prompt before each."""
        texts = [checked(text, place) for place, text in enumerate(prefixed(inputs, prompt))]
        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        lengths = np.fromiter((len(e) for e in encodings), dtype=np.int64, count=len(encodings))
        truncated = np.fromiter((bool(e.overflowing) for e in encodings), dtype=np.bool_, count=len(encodings))
        return Tokens(flat((e.ids for e in encodings), lengths), None, lengths, truncated)

    def __call__(self, batch: Packed) -> Packed:
        """Fills in [texts, width]."""
        batch.vectors = F.embedding_bag(batch.ids, self.table, batch.starts(), mode="mean")
        return batch

    def dimension(self, width: int) -> int:
        """Width of the table."""
        return self.table.shape[1]


def _table(weights: Weights) -> torch.Tensor:
    """[tokens, width]; model2vec may share a row among tokens ("mapping") and weigh it ("weights")."""
    if "embedding.weight" in weights:
        return weights["embedding.weight"]
    if "embeddings" not in weights:
        raise ModelError(
            f"{weights.folder} has no tensor 'embedding.weight' or 'embeddings'.", "copy or download the model again."
        )
    table = weights["embeddings"]
    if "mapping" in weights:
        table = table[weights["mapping"].long()]
    return table.float() * weights["weights"].float()[:, None] if "weights" in weights else table


def _tokenizer(file: Path) -> Any:  # noqa: ANN401  (tokenizers has no types)
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ModelError(f"{file} cannot be read: {error}.", "copy or download the model again.") from error
    tokenizer.no_padding()
    return tokenizer

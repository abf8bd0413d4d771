"""StaticEmbedding: the mean of the table rows of a text's tokens, also with model2vec's tensor names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import Tokens, check_vocabulary, checked, encode_batch, flat, token_starts
from st_spark.model.modules.interfaces import InputModule


class StaticEmbedding(InputModule):
    """Turns texts into the mean of their tokens' rows, in float32; a text without tokens gives zeros.

    There are no special tokens. Unlike a Transformer it keeps the truncation of its tokenizer.json.
    """

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.table = _table(Weights(spec.path)).to(device).float()
        self.backend = _tokenizer(spec.path / "tokenizer.json")
        check_vocabulary(spec.path, self.backend.get_vocab_size(with_added_tokens=False), len(self.table))

    @property
    def max_length(self) -> int | None:
        """Maximum number of tokens of a text; None for no limit."""
        truncation = self.backend.truncation
        return None if truncation is None else int(truncation["max_length"])

    @max_length.setter
    def max_length(self, value: int | None) -> None:
        if value is None:
            self.backend.no_truncation()
        else:
            self.backend.enable_truncation(value)

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens:
        """Tokenize texts and pairs, with the prompt before each."""
        texts = [checked(text, place) for place, text in enumerate(prefixed(inputs, prompt))]
        encodings = encode_batch(self.backend, texts, specials=False)
        lengths = np.fromiter((len(e) for e in encodings), dtype=np.int64, count=len(encodings))
        truncated = np.fromiter((bool(e.overflowing) for e in encodings), dtype=np.bool_, count=len(encodings))
        return Tokens(flat((e.ids for e in encodings), lengths), None, lengths, truncated)

    def token_starts(self, text: str) -> Lengths:
        """See InputModule."""
        return token_starts(self.backend, text)

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the vectors, [texts, width]."""
        batch.vectors = F.embedding_bag(batch.ids, self.table, batch.starts(), mode="mean")
        return batch

    def dimension(self, width: int) -> int:
        """Return the width of the table."""
        return self.table.shape[1]


def _table(weights: Weights) -> torch.Tensor:
    """Return [tokens, width]; in model2vec tokens may share a row ("mapping") and have a weight ("weights")."""
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

"""Word models, in float32: a vector for each known word, counts of words (a bag of words), and weights of words."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs import word_tokenizer
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.tokenizer import check_vocabulary
from st_spark.model.modules.interfaces import InputModule, Module


class WordEmbeddings(InputModule):
    """Turns words into rows of a table. The table stays in its file, memory-mapped, if the file format allows it."""

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.table = Weights(spec.path)["emb_layer.weight"].to(device).float()
        longest = spec.config.get("max_seq_length", 1_000_000)
        self.tokenizer = word_tokenizer.load(spec.path, spec.config.get("tokenizer_class"), longest)
        check_vocabulary(spec.path, len(self.tokenizer), len(self.table))

    def __call__(self, batch: Packed) -> Packed:
        """Put the table into the micro-batch: a mean pooling sums its rows."""
        batch.table = self.table
        return batch

    def dimension(self, width: int) -> int:
        """Return the width of the table."""
        return self.table.shape[1]


class BoW(InputModule):
    """Counts each word of the vocabulary and multiplies by its weight: sentence vectors without a pooling."""

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        vocab = list(dict.fromkeys(_vocab(spec)))
        self.weights = _weights(vocab, spec.config).to(device)
        self.tokenizer = word_tokenizer.whitespace(vocab)
        self.counts = bool(spec.config.get("cumulative_term_frequency", True))

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the vectors, [texts, words of the vocabulary]."""
        vectors = torch.zeros(len(batch.lengths), len(self.weights), device=batch.ids.device)
        rows = torch.repeat_interleave(torch.from_numpy(batch.lengths)).to(batch.ids.device)
        batch.vectors = vectors.index_put_((rows, batch.ids), self.weights[batch.ids], accumulate=self.counts)
        return batch

    def dimension(self, width: int) -> int:
        """Return the number of words in the vocabulary."""
        return len(self.weights)


class WordWeights(Module):
    """Multiplies each token embedding by the weight of its word; a mean pooling then divides by the sum of weights."""

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.weights = _weights(_vocab(spec), spec.config).to(device)

    def __call__(self, batch: Packed) -> Packed:
        """Weight [tokens, width]."""
        batch.token_weights = self.weights[batch.ids]
        batch.hidden = batch.token_embeddings() * batch.token_weights[:, None]
        return batch


def _vocab(spec: ModuleSpec) -> list[str]:
    vocab: Any = spec.config.get("vocab")
    words = isinstance(vocab, list) and all(isinstance(word, str) for word in vocab)
    if not words or not isinstance(spec.config.get("word_weights", {}), dict):
        raise ModelError(
            f"{spec.path}/config.json has no list 'vocab' of words or no object 'word_weights'.",
            "copy or download the model again.",
        )
    return vocab


def _weights(vocab: Sequence[str], config: Mapping[str, Any]) -> torch.Tensor:
    """Return [words], the weight of each word, else of its lower-cased form, else the weight of unknown words."""
    known, unknown = config.get("word_weights", {}), config.get("unknown_word_weight", 1)
    weights = [known.get(word, known.get(word.lower(), unknown)) for word in vocab]
    return torch.tensor(weights, dtype=torch.float32)

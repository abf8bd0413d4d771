"""Word models: a vector for each known word of a text, a bag of words, weights of words. All in float32."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs import word_tokenizer
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import Tokens


class WordEmbeddings:
    """Word ids to rows of a table. The table stays in its file, mapped, where the file allows it.

    Args:
        folder: Its table and its tokenizer.
        config: Its wordembedding_config.json.
        device: Where to compute.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], device: torch.device) -> None:
        self.dtype = torch.float32
        self.table = Weights(folder).need("emb_layer.weight").float().to(device)
        longest = config.get("max_seq_length", 1_000_000)
        self.tokenizer = word_tokenizer.load(folder, config.get("tokenizer_class"), longest)

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "WordEmbeddings":
        """In float32 always: there are no products to speed up."""
        return cls(spec.path, spec.config, device)

    @property
    def max_length(self) -> int | None:
        """Most words of a text."""
        return self.tokenizer.max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.tokenizer.max_length = value

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens:
        """Ids of the known words of texts, with the prompt before each."""
        return self.tokenizer(prefixed(inputs, prompt))

    def __call__(self, batch: Packed) -> Packed:
        """Names the table, of which a mean needs no more than sums of rows."""
        batch.table = self.table
        return batch

    def dimension(self, width: int) -> int:
        """Width of the table."""
        return self.table.shape[1]


class BoW:
    """A count for each word of the vocabulary, times its weight: a sentence vector without a pooling.

    Args:
        config: Its config.json.
        device: Where to compute.
    """

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.dtype = torch.float32
        vocab = list(dict.fromkeys(config["vocab"]))
        self.weights = _weights(vocab, config).to(device)
        self.tokenizer = word_tokenizer.whitespace(vocab)
        self.counts = bool(config.get("cumulative_term_frequency", True))

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "BoW":
        """Has no weights but those of its config."""
        _check(spec)
        return cls(spec.config, device)

    @property
    def max_length(self) -> int | None:
        """Most words of a text; None for no limit, as it is at first."""
        return self.tokenizer.max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.tokenizer.max_length = value

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens:
        """Ids of the known words of texts, with the prompt before each."""
        return self.tokenizer(prefixed(inputs, prompt))

    def __call__(self, batch: Packed) -> Packed:
        """Fills in [texts, words of the vocabulary]."""
        vectors = torch.zeros(len(batch.lengths), len(self.weights), device=batch.ids.device)
        rows = torch.repeat_interleave(torch.from_numpy(batch.lengths)).to(batch.ids.device)
        batch.vectors = vectors.index_put_((rows, batch.ids), self.weights[batch.ids], accumulate=self.counts)
        return batch

    def dimension(self, width: int) -> int:
        """Words of the vocabulary."""
        return len(self.weights)


class WordWeights:
    """Multiplies each token embedding by the weight of its word; a mean pooling then divides by the weights' sum.

    Args:
        config: Its config.json.
        device: Where to compute.
    """

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.weights = _weights(config["vocab"], config).to(device)

    @classmethod
    def load(cls, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> "WordWeights":
        """Has no weights but those of its config."""
        _check(spec)
        return cls(spec.config, device)

    def __call__(self, batch: Packed) -> Packed:
        """[tokens, width] to the same."""
        batch.token_weights = self.weights[batch.ids]
        batch.hidden = batch.token_embeddings() * batch.token_weights[:, None]
        return batch

    def dimension(self, width: int) -> int:
        """Unchanged."""
        return width


def _weights(vocab: Sequence[str], config: Mapping[str, Any]) -> torch.Tensor:
    """[words] the weight of each word, or of its lower-cased form, or that of unknown words."""
    known, unknown = config.get("word_weights", {}), config.get("unknown_word_weight", 1)
    weights = [known.get(word, known.get(word.lower(), unknown)) for word in vocab]
    return torch.tensor(weights, dtype=torch.float32)


def _check(spec: ModuleSpec) -> None:
    vocab, weights = spec.config.get("vocab"), spec.config.get("word_weights", {})
    words = isinstance(vocab, list) and all(isinstance(word, str) for word in vocab)
    if not words or not isinstance(weights, dict):
        raise ModelError(
            f"{spec.path}/config.json has no list 'vocab' of words or no object 'word_weights'.",
            "copy or download the model again.",
        )

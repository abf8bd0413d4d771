"""One vector for a long text: encode its chunks, and pool their vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from st_spark.embedding.arrow_encode import Embedder
    from st_spark.model.chunker import Chunk, Chunker
    from st_spark.model.encoder import Encoded

# About how many characters are encoded at a time. So memory does not grow with the text.
_CHARACTERS = 1 << 20
# How much the length of a vector may differ from 1, for models that end in a Normalize. Formats of 16 bits round.
_UNIT = 1e-2


@dataclass(frozen=True)
class PooledModel:
    """A model that reads texts in full: a chunk at a time.

    Attributes:
        model: Encodes the chunks.
        chunker: Cuts the texts.
        pooling: "mean": the mean of the vectors of the chunks, weighted by their tokens. "max": the largest value of
            each dimension.
    """

    model: "Embedder"
    chunker: "Chunker"
    pooling: str

    def embed(self, texts: Sequence[str], *, normalize_embeddings: bool = False, **options: Any) -> "Encoded":  # noqa: ANN401
        """Encode texts; see SentenceTransformer.embed(). n_tokens counts the tokens of all chunks.

        If all chunks of a text have vectors of length 1, as models with a Normalize give them, then so has the text.
        """
        from st_spark.model.encoder import Encoded

        cut = self.chunker(texts)
        weights = [_weights(chunks) for chunks in cut]
        sums, is_unit = np.zeros((0, 0)), np.ones(len(texts), bool)
        tokens, truncated = np.zeros(len(texts), np.int32), np.zeros(len(texts), bool)
        for owners, parts, factors in _groups(texts, cut, weights):
            encoded = self.model.embed(parts, **options)
            vectors = encoded.vectors.astype(np.float64)
            if not sums.size:
                sums = np.full((len(texts), vectors.shape[1]), 0.0 if self.pooling == "mean" else -np.inf)
            if self.pooling == "mean":
                np.add.at(sums, owners, vectors * factors[:, None])
            else:
                np.maximum.at(sums, owners, vectors)
            np.add.at(tokens, owners, encoded.n_tokens)
            np.logical_or.at(truncated, owners, encoded.truncated)
            lengths = np.linalg.norm(vectors, axis=1)
            np.logical_and.at(is_unit, owners, np.abs(lengths - 1) < _UNIT)
        several = np.array([len(chunks) > 1 for chunks in cut])
        _scale(sums, (is_unit & several) | normalize_embeddings)
        return Encoded(sums.astype(np.float32), tokens, truncated)


def _weights(chunks: "Sequence[Chunk]") -> np.ndarray:
    """Return the share of each chunk in the tokens of its text. Without tokens, all chunks count alike."""
    tokens = np.array([chunk.tokens for chunk in chunks], np.float64)
    return tokens / tokens.sum() if tokens.any() else np.full(len(chunks), 1 / len(chunks))


def _groups(
    texts: Sequence[str], cut: "Sequence[Sequence[Chunk]]", weights: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, list[str], np.ndarray]]:
    """Yield chunks that are encoded together: the positions of their texts, the chunks, and their weights."""
    owners, parts, factors, size = list[int](), list[str](), list[float](), 0
    for owner, (text, chunks) in enumerate(zip(texts, cut, strict=True)):
        for chunk, weight in zip(chunks, weights[owner], strict=True):
            owners.append(owner)
            parts.append(text[chunk.start : chunk.end])
            factors.append(float(weight))
            size += len(parts[-1])
            if size >= _CHARACTERS:
                yield np.array(owners), parts, np.array(factors)
                owners, parts, factors, size = [], [], [], 0
    if owners:
        yield np.array(owners), parts, np.array(factors)


def _scale(vectors: np.ndarray, chosen: np.ndarray) -> None:
    """Scale the chosen vectors to length 1, except zeros."""
    lengths = np.linalg.norm(vectors, axis=1)
    rows = np.flatnonzero(chosen & (lengths > 0))
    vectors[rows] /= lengths[rows, None]

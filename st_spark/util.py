"""Functions for vectors in memory, under the import path that scripts for Sentence-Transformers use."""

from typing import TYPE_CHECKING, Any, NoReturn

from st_spark.errors import InputError
from st_spark.model.quantization import quantize_embeddings
from st_spark.model.retrieval import (
    community_detection,
    information_retrieval,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic_search,
)
from st_spark.model.similarity import (
    SimilarityFunction,
    as_tensor,
    cos_sim,
    dot_score,
    euclidean_sim,
    manhattan_sim,
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
)

if TYPE_CHECKING:
    import torch

    from st_spark.model.similarity import Vectors

__all__ = [
    "SimilarityFunction",
    "community_detection",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "information_retrieval",
    "manhattan_sim",
    "mine_hard_negatives",
    "normalize_embeddings",
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "pairwise_euclidean_sim",
    "pairwise_manhattan_sim",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "pytorch_cos_sim",
    "quantize_embeddings",
    "semantic_search",
    "truncate_embeddings",
]

pytorch_cos_sim = cos_sim


def normalize_embeddings(embeddings: "Vectors") -> "torch.Tensor":
    """Return vectors, [n, d] or [d], as a tensor with each scaled to length 1; a zero vector stays zero."""
    from torch.nn.functional import normalize

    return normalize(as_tensor(embeddings), dim=-1)


def truncate_embeddings(embeddings: Any, truncate_dim: int | None) -> Any:  # noqa: ANN401  (an array or a tensor)
    """Return the leading dimensions of an array or a tensor of vectors; all for None."""
    return embeddings[..., :truncate_dim]


def mine_hard_negatives(*_args: Any, **_options: Any) -> NoReturn:  # noqa: ANN401
    """Raise InputError: it takes a Dataset. st_spark.mine_hard_negatives() takes tables."""
    raise InputError(
        "util.mine_hard_negatives is not here: it takes a Dataset and a model.",
        "use st_spark.mine_hard_negatives() for tables with vectors, or sentence_transformers.",
    )

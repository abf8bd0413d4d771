"""Score embeddings against each other."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from st_spark.choices import SIMILARITIES
from st_spark.errors import InputError, check_choice

Vectors = npt.NDArray[Any] | torch.Tensor | list[Any]
Score = Callable[[Vectors, Vectors], torch.Tensor]


def similarity(a: Vectors, b: Vectors, function: str = "cosine") -> torch.Tensor:
    """Score every row of a against every row of b; a larger score means more similar.

    Args:
        a: [n, d] or [d].
        b: [m, d] or [d].
        function: cosine (0 for a zero vector), dot, euclidean or manhattan (both as negative distances).

    Returns:
        A tensor [n, m], float64 if a or b is, else float32.

    Raises:
        InputError: An unknown function, or vectors of different dimensions.
    """
    check_choice("similarity function", function, SIMILARITIES)
    x, y = _sides(a, b)
    x, y = torch.atleast_2d(x), torch.atleast_2d(y)
    if function == "cosine":
        return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
    if function == "dot":
        return x @ y.T
    return -torch.cdist(x, y, p=2.0 if function == "euclidean" else 1.0)


def similarity_pairwise(a: Vectors, b: Vectors, function: str = "cosine") -> torch.Tensor:
    """Score every row of a against the same row of b.

    Args:
        a: [n, d] or [d].
        b: [n, d] or [d].
        function: See similarity().

    Returns:
        A tensor [n], or [] for two single vectors; float64 if a or b is, else float32.

    Raises:
        InputError: An unknown function, or vectors of different dimensions.
    """
    check_choice("similarity function", function, SIMILARITIES)
    x, y = _sides(a, b)
    if function == "cosine":
        return (F.normalize(x, dim=-1) * F.normalize(y, dim=-1)).sum(dim=-1)
    if function == "dot":
        return (x * y).sum(dim=-1)
    return -torch.linalg.vector_norm(x - y, ord=2 if function == "euclidean" else 1, dim=-1)


def as_tensor(vectors: Vectors) -> torch.Tensor:
    """Return vectors as a tensor of the same memory where that is possible; a list of vectors becomes one tensor."""
    if isinstance(vectors, list | tuple):
        first = vectors[0] if vectors else None
        if isinstance(first, torch.Tensor):
            return torch.stack(list(vectors))
        try:
            vectors = np.asarray(vectors, dtype=getattr(first, "dtype", np.float32))
        except (ValueError, TypeError) as error:
            raise InputError(f"The list is no list of vectors of one length: {error}.", "give [n, d].") from error
    if isinstance(vectors, np.ndarray) and not vectors.flags.writeable:
        vectors = vectors.copy()  # torch warns of others
    tensor = torch.as_tensor(vectors)
    return tensor.to_dense() if tensor.is_sparse else tensor


def as_floats(vectors: Vectors) -> torch.Tensor:
    """Return vectors as a tensor, float64 if they are, else float32."""
    tensor = as_tensor(vectors)
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _sides(a: Vectors, b: Vectors) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = as_floats(a), as_floats(b)
    if x.shape[-1:] != y.shape[-1:]:
        problem = f"vectors of {x.shape[-1]} and of {y.shape[-1]} dimensions cannot be compared."
        raise InputError(problem, "embed both with the same model and truncate_dim.")
    dtype = torch.promote_types(x.dtype, y.dtype)
    return x.to(dtype), y.to(x.device, dtype)


def cos_sim(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the cosine of every row of a and every row of b, a tensor [n, m]; 0 for a zero vector."""
    return similarity(a, b, "cosine")


def dot_score(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the dot product of every row of a and every row of b, a tensor [n, m]."""
    return similarity(a, b, "dot")


def euclidean_sim(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the negative Euclidean distances of every row of a and every row of b, a tensor [n, m]."""
    return similarity(a, b, "euclidean")


def manhattan_sim(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the negative Manhattan distances of every row of a and every row of b, a tensor [n, m]."""
    return similarity(a, b, "manhattan")


def pairwise_cos_sim(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the cosine of every row of a and the same row of b, a tensor [n]; 0 for a zero vector."""
    return similarity_pairwise(a, b, "cosine")


def pairwise_dot_score(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the dot product of every row of a and the same row of b, a tensor [n]."""
    return similarity_pairwise(a, b, "dot")


def pairwise_euclidean_sim(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the negative Euclidean distance of every row of a and the same row of b, a tensor [n]."""
    return similarity_pairwise(a, b, "euclidean")


def pairwise_manhattan_sim(a: Vectors, b: Vectors) -> torch.Tensor:
    """Return the negative Manhattan distance of every row of a and the same row of b, a tensor [n]."""
    return similarity_pairwise(a, b, "manhattan")


class SimilarityFunction(Enum):
    """The similarity functions by the names of sentence-transformers."""

    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    DOT = "dot"  # noqa: PIE796  (an alias)
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"

    @staticmethod
    def to_similarity_fn(similarity_function: "str | SimilarityFunction") -> Score:
        """Return the function that scores every row against every row; ValueError for an unknown name."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][0]

    @staticmethod
    def to_similarity_pairwise_fn(similarity_function: "str | SimilarityFunction") -> Score:
        """Return the function that scores every row against the same row; ValueError for an unknown name."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][1]

    @staticmethod
    def possible_values() -> list[str]:
        """Return the names."""
        return [each.value for each in SimilarityFunction]


_FUNCTIONS: dict[SimilarityFunction, tuple[Score, Score]] = {
    SimilarityFunction.COSINE: (cos_sim, pairwise_cos_sim),
    SimilarityFunction.DOT_PRODUCT: (dot_score, pairwise_dot_score),
    SimilarityFunction.EUCLIDEAN: (euclidean_sim, pairwise_euclidean_sim),
    SimilarityFunction.MANHATTAN: (manhattan_sim, pairwise_manhattan_sim),
}

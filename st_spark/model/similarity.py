"""Score embeddings against each other, and search in memory."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from st_spark.choices import SIMILARITIES
from st_spark.errors import InputError, check_count

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    Vectors = npt.NDArray[np.floating] | torch.Tensor | list[list[float]]


def similarity(a: "Vectors", b: "Vectors", function: str = "cosine") -> "torch.Tensor":
    """Score every row of a against every row of b; a larger score means more similar.

    Args:
        a: [n, d] or [d].
        b: [m, d] or [d].
        function: cosine (0 for a zero vector), dot, euclidean or manhattan (both as negative distances).

    Returns:
        A float32 tensor [n, m].

    Raises:
        InputError: An unknown function, or vectors of different dimensions.
    """
    import torch

    x, y = _rows(a), _rows(b)
    if x.shape[1] != y.shape[1]:
        problem = f"vectors of {x.shape[1]} and of {y.shape[1]} dimensions cannot be compared."
        raise InputError(problem, "embed both with the same model and truncate_dim.")
    if function == "cosine":
        return torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(y, dim=1).T
    if function == "dot":
        return x @ y.T
    if function in SIMILARITIES:
        return -torch.cdist(x, y, p=2.0 if function == "euclidean" else 1.0)
    raise InputError(f"similarity function {function!r} is unknown.", f"choose one of {', '.join(SIMILARITIES)}.")


def _rows(vectors: "Vectors") -> "torch.Tensor":
    import torch

    rows = torch.as_tensor(np.asarray(vectors) if isinstance(vectors, list) else vectors).float()
    return rows[None, :] if rows.ndim == 1 else rows


def cos_sim(a: "Vectors", b: "Vectors") -> "torch.Tensor":
    """Return the cosine of every row of a and every row of b, a float32 tensor [n, m]; 0 for a zero vector."""
    return similarity(a, b, "cosine")


def dot_score(a: "Vectors", b: "Vectors") -> "torch.Tensor":
    """Return the dot product of every row of a and every row of b, a float32 tensor [n, m]."""
    return similarity(a, b, "dot")


def euclidean_sim(a: "Vectors", b: "Vectors") -> "torch.Tensor":
    """Return the negative Euclidean distances, a float32 tensor [n, m]."""
    return similarity(a, b, "euclidean")


def manhattan_sim(a: "Vectors", b: "Vectors") -> "torch.Tensor":
    """Return the negative Manhattan distances, a float32 tensor [n, m]."""
    return similarity(a, b, "manhattan")


def semantic_search(
    query_embeddings: "Vectors",
    corpus_embeddings: "Vectors",
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]" = cos_sim,
) -> list[list[dict[str, Any]]]:
    """Find the corpus vectors with the largest scores for each query, exactly and in memory.

    For tables on Spark use the search and the joins of this package.

    Args:
        query_embeddings: [n, d] or [d].
        corpus_embeddings: [m, d].
        query_chunk_size: How many queries are scored at once. With the defaults, 200 MB of scores are in memory.
        corpus_chunk_size: How many corpus vectors are scored at once.
        top_k: How many hits per query; fewer if the corpus is smaller.
        score_function: cos_sim, dot_score, or another function that returns [n, m].

    Returns:
        For each query its hits, best first: {"corpus_id": row of the corpus, "score": float}.

    Raises:
        InputError: top_k or a chunk size below 1, or vectors of different dimensions.
    """
    import torch

    sizes = {"top_k": top_k, "query_chunk_size": query_chunk_size, "corpus_chunk_size": corpus_chunk_size}
    for name, value in sizes.items():
        check_count(name, value)
    queries, corpus = (torch.atleast_2d(torch.as_tensor(each)) for each in (query_embeddings, corpus_embeddings))
    found: list[list[dict[str, Any]]] = []
    for part in queries.split(query_chunk_size):
        values, places = torch.empty(len(part), 0), torch.empty(len(part), 0, dtype=torch.int64)
        for start in range(0, len(corpus), corpus_chunk_size):
            scores = score_function(part, corpus[start : start + corpus_chunk_size])
            best, rows = scores.topk(min(top_k, scores.shape[1]), dim=1)
            values, places = torch.cat([values, best], dim=1), torch.cat([places, rows + start], dim=1)
        order = values.argsort(dim=1, descending=True, stable=True)[:, :top_k]
        pairs = zip(values.gather(1, order).tolist(), places.gather(1, order).tolist(), strict=True)
        found += [[{"corpus_id": i, "score": s} for s, i in zip(*pair, strict=True)] for pair in pairs]
    return found

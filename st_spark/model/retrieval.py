"""Search, mine paraphrases and find communities in memory, with the functions of sentence-transformers.

For tables on Spark use the search, the joins and near_duplicates of this package.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from st_spark.errors import InputError, check_count, check_number
from st_spark.model.similarity import Score, Vectors, as_floats, as_tensor, cos_sim, dot_score

if TYPE_CHECKING:
    from st_spark.model.encoder import SentenceTransformer

Hits = list[dict[str, Any]]


def semantic_search(
    query_embeddings: Vectors,
    corpus_embeddings: Vectors,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: Score = cos_sim,
) -> list[Hits]:
    """Find the corpus vectors with the largest scores for each query, exactly.

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
    sizes = {"top_k": top_k, "query_chunk_size": query_chunk_size, "corpus_chunk_size": corpus_chunk_size}
    for name, value in sizes.items():
        check_count(name, value)
    corpus = as_tensor(corpus_embeddings)
    queries = torch.atleast_2d(as_tensor(query_embeddings).to(corpus.device))
    found: list[Hits] = []
    for scores, rows in _best(queries, corpus, top_k, query_chunk_size, corpus_chunk_size, score_function):
        pairs = zip(scores.tolist(), rows.tolist(), strict=True)
        found += [[{"corpus_id": i, "score": s} for s, i in zip(*pair, strict=True)] for pair in pairs]
    return found


information_retrieval = semantic_search


def paraphrase_mining(  # noqa: PLR0913, PLR0917  (the arguments of sentence-transformers)
    model: "SentenceTransformer",
    sentences: Sequence[str],
    show_progress_bar: bool = False,
    batch_size: int | None = None,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: Score = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """Encode texts and return their most similar pairs; see paraphrase_mining_embeddings and encode()."""
    embeddings = model.encode(
        sentences,
        prompt_name,
        prompt,
        batch_size,
        show_progress_bar,
        convert_to_tensor=True,
        truncate_dim=truncate_dim,
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: Vectors,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: Score = cos_sim,
) -> list[list[float | int]]:
    """Compare vectors with one another, and return the pairs with the largest scores.

    Args:
        embeddings: [n, d].
        query_chunk_size: How many vectors are compared with the others at once.
        corpus_chunk_size: With how many others.
        max_pairs: Maximum number of pairs.
        top_k: How many others each vector is paired with.
        score_function: cos_sim, dot_score, or another symmetric function that returns [n, m].

    Returns:
        [score, i, j] of each pair once, i < j, the largest score first.

    Raises:
        InputError: top_k, max_pairs or a chunk size below 1.
    """
    sizes = {"top_k": top_k, "max_pairs": max_pairs}
    sizes |= {"query_chunk_size": query_chunk_size, "corpus_chunk_size": corpus_chunk_size}
    for name, value in sizes.items():
        check_count(name, value)
    vectors = as_tensor(embeddings)
    parts, start = [torch.empty(3, 0, dtype=torch.float64)], 0
    for scores, others in _best(vectors, vectors, top_k + 1, query_chunk_size, corpus_chunk_size, score_function):
        own = torch.arange(start, start + len(scores), device=others.device)[:, None]
        start += len(scores)
        differs = others != own
        kept = differs & (differs.cumsum(dim=1) <= top_k)
        pairs = torch.stack([scores.double(), own.expand_as(others).double(), others.double()])
        parts.append(pairs[:, kept].cpu())
    score, one, other = torch.cat(parts, dim=1).numpy()
    first, second = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    _, distinct = np.unique(first * len(vectors) + second, return_index=True)  # in the order of first and second
    best = distinct[np.argsort(-score[distinct], kind="stable")[:max_pairs]]
    columns = score[best].tolist(), first[best].tolist(), second[best].tolist()
    return [list(pair) for pair in zip(*columns, strict=True)]


def community_detection(
    embeddings: Vectors,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Group vectors around central ones. A vector is in one community at most, in the largest that can have it.

    Args:
        embeddings: [n, d].
        threshold: Lowest cosine of a member with the central vector.
        min_community_size: Smaller communities are left out.
        batch_size: How many vectors are compared with all at once.
        show_progress_bar: Whether to show a progress bar.

    Returns:
        Row numbers of each community, the largest community first: the central one, then the others by their cosine.

    Raises:
        InputError: A min_community_size or batch_size below 1, or a threshold that is no number.
    """
    check_number("threshold", threshold)
    for name, value in (("min_community_size", min_community_size), ("batch_size", batch_size)):
        check_count(name, value)
    if not len(embeddings):
        return []
    vectors = F.normalize(torch.atleast_2d(as_floats(embeddings)), dim=1)
    starts = range(0, len(vectors), batch_size)
    found: list[tuple[int, torch.Tensor]] = []
    for start in tqdm(starts, desc="Finding communities", disable=not show_progress_bar):
        found += _neighbourhoods(vectors, start, batch_size, threshold, min_community_size)
    found.sort(key=lambda community: len(community[1]), reverse=True)
    free, chosen = np.ones(len(vectors), dtype=bool), []
    for centre, members in found:
        rows = members.numpy()
        rest = rows[free[rows] & (rows != centre)]
        if free[centre] and len(rest) + 1 >= min_community_size:
            chosen.append([centre, *rest.tolist()])
            free[chosen[-1]] = False
    return sorted(chosen, key=len, reverse=True)


def _neighbourhoods(
    vectors: torch.Tensor, start: int, count: int, threshold: float, least: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the vectors with at least `least` similar ones, and the rows of those, the most similar first."""
    scores = vectors[start : start + count] @ vectors.T
    similar = scores >= threshold
    counts = similar.sum(dim=1)
    rows = torch.nonzero(counts >= least)[:, 0]
    scores, similar, sizes = scores[rows], similar[rows], counts[rows].tolist()
    parts = zip(rows.tolist(), scores[similar].split(sizes), similar.nonzero()[:, 1].split(sizes), strict=True)
    for row, values, members in parts:
        yield start + row, members[values.argsort(descending=True, stable=True)].cpu()


def _best(
    queries: torch.Tensor, corpus: torch.Tensor, top_k: int, per_query: int, per_corpus: int, score: Score
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield for each chunk of queries the largest scores, [queries, k], and the rows of the corpus that have them."""
    if corpus.ndim != 2:
        raise InputError(f"The corpus has the shape {tuple(corpus.shape)}.", "give one row for each vector: [n, d].")
    if queries.shape[1] != corpus.shape[1]:
        problem = f"vectors of {queries.shape[1]} and of {corpus.shape[1]} dimensions cannot be compared."
        raise InputError(problem, "embed both with the same model and truncate_dim.")
    if score is cos_sim:  # each side is normalised once
        queries, corpus, score = (
            F.normalize(as_floats(queries), dim=1),
            F.normalize(as_floats(corpus), dim=1),
            dot_score,
        )
    for part in queries.split(per_query):
        values = torch.empty(len(part), 0, device=corpus.device)
        places = torch.empty(len(part), 0, dtype=torch.int64, device=corpus.device)
        for start in range(0, len(corpus), per_corpus):
            scores = score(part, corpus[start : start + per_corpus])
            best, rows = scores.topk(min(top_k, scores.shape[1]), dim=1)
            values, places = torch.cat([values, best], dim=1), torch.cat([places, rows + start], dim=1)
        order = values.argsort(dim=1, descending=True, stable=True)[:, :top_k]
        yield values.gather(1, order), places.gather(1, order)

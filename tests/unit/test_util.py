"""The functions of st_spark.util give the oracle's numbers for arrays, tensors and lists."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import st_spark
from st_spark import util
from st_spark.errors import InputError

SCORES = ("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim")


def vectors(rows: int, seed: int) -> Any:
    made = np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float32)
    made[0] = 0
    return made


def test_util_is_an_attribute_of_the_package() -> None:
    assert st_spark.util is util


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(
    "form", [np.asarray, torch.as_tensor, lambda rows: rows.tolist()], ids=["array", "tensor", "list"]
)
def test_scores_equal_the_oracles(name: str, form: Any) -> None:
    from sentence_transformers import util as theirs

    a, b = vectors(5, 1), vectors(7, 2)
    ours, expected = getattr(util, name), getattr(theirs, name)
    assert torch.allclose(ours(form(a), form(b)), expected(a, b), atol=1e-5)
    assert ours(form(a[1]), form(b)).shape == (1, 7)


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [{}, {"query_chunk_size": 2, "corpus_chunk_size": 7}])
def test_semantic_search_finds_what_the_oracle_finds(chunks: dict[str, int]) -> None:
    from sentence_transformers import util as theirs

    queries, corpus = vectors(5, 3)[1:], vectors(40, 4)
    for score in SCORES[:2]:
        ours = util.semantic_search(queries, corpus, top_k=6, score_function=getattr(util, score), **chunks)
        expected = theirs.semantic_search(
            torch.as_tensor(queries), torch.as_tensor(corpus), top_k=6, score_function=getattr(theirs, score)
        )
        assert [[hit["corpus_id"] for hit in hits] for hits in ours] == [
            [h["corpus_id"] for h in hits] for hits in expected
        ]
        found = [[hit["score"] for hit in hits] for hits in ours]
        np.testing.assert_allclose(found, [[h["score"] for h in hits] for hits in expected], atol=1e-5)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 15))
def test_chunk_sizes_do_not_change_the_hits(queries: int, per_query: int, per_corpus: int, top_k: int) -> None:
    a, b = vectors(queries, 5), vectors(11, 6)
    whole = util.semantic_search(a, b, top_k=top_k)
    cut = util.semantic_search(a, b, per_query, per_corpus, top_k)
    assert [len(hits) for hits in cut] == [min(top_k, 11)] * queries
    for one, other in zip(whole[1:], cut[1:], strict=True):  # the first query is zero: all scores tie
        assert [hit["corpus_id"] for hit in one] == [hit["corpus_id"] for hit in other]


def test_invalid_searches_are_rejected() -> None:
    with pytest.raises(InputError, match="top_k is 0"):
        util.semantic_search(vectors(2, 1), vectors(2, 1), top_k=0)
    with pytest.raises(InputError, match="vectors of 8 and of 3 dimensions"):
        util.semantic_search(vectors(2, 1), np.zeros((2, 3), np.float32))


PAIRWISE = ("pairwise_cos_sim", "pairwise_dot_score", "pairwise_euclidean_sim", "pairwise_manhattan_sim")


def clusters(rows: int, seed: int = 0, noise: float = 0.3) -> Any:
    """Vectors around a few directions; no two scores are equal."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(rows // 12, 1), 16))
    made = centres[random.integers(0, len(centres), rows)] + noise * random.standard_normal((rows, 16))
    return made.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SCORES, *PAIRWISE])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor, list], ids=["array", "tensor", "list of arrays"])
def test_scores_have_the_values_and_types_of_the_oracle(name: str, kind: Any, form: Any) -> None:
    from sentence_transformers import util as theirs

    a, b = vectors(5, 1).astype(kind), vectors(5, 2).astype(kind)
    ours, expected = getattr(util, name)(form(a), form(b)), getattr(theirs, name)(form(a), form(b))
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_vectors_of_different_kinds_can_be_compared() -> None:
    """The oracle raises errors of torch."""
    a, b = vectors(3, 1), vectors(3, 2).astype(np.float64)
    assert util.cos_sim(a, b).dtype == torch.float64
    assert util.dot_score(np.eye(3, dtype=np.int8) * 100, np.eye(3, dtype=np.int8) * 2).max() == 200
    with pytest.raises(InputError, match="no list of vectors of one length"):
        util.cos_sim([[1.0, 2.0], [1.0]], a)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 2}, {"max_pairs": 7}, {"query_chunk_size": 7, "corpus_chunk_size": 11, "top_k": 3}],
    ids=str,
)
@pytest.mark.parametrize("score", ["cos_sim", "dot_score", "euclidean_sim"])
def test_paraphrase_mining_finds_what_the_oracle_finds(options: dict[str, int], score: str) -> None:
    from sentence_transformers import util as theirs

    rows = clusters(40)
    ours = util.paraphrase_mining_embeddings(rows, score_function=getattr(util, score), **options)
    expected = theirs.paraphrase_mining_embeddings(
        torch.as_tensor(rows), score_function=getattr(theirs, score), **options
    )
    assert all(type(i) is type(j) is int and i < j for _, i, j in ours)
    assert [row[1:] for row in ours] == [row[1:] for row in expected]
    np.testing.assert_allclose([row[0] for row in ours], [row[0] for row in expected], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"threshold": 0.9, "min_community_size": 3}, {"threshold": 0.5, "batch_size": 7}], ids=str
)
def test_community_detection_finds_what_the_oracle_finds(options: dict[str, Any]) -> None:
    from sentence_transformers import util as theirs

    rows = clusters(300, noise=0.4)
    expected = theirs.community_detection(torch.as_tensor(rows), **options)
    assert util.community_detection(rows, **options) == expected and len(expected) > 1
    assert util.community_detection(torch.as_tensor(rows), **options) == expected


def test_equal_and_zero_vectors_are_paired_and_grouped() -> None:
    rows = np.repeat(np.eye(4, 8, dtype=np.float32), 3, axis=0)
    rows[9:] = 0
    pairs = util.paraphrase_mining_embeddings(rows, top_k=2)
    assert [pair[1:] for pair in pairs[:9]] == [[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5], [6, 7], [6, 8], [7, 8]]
    assert [pair[0] for pair in pairs[:9]] == pytest.approx([1] * 9) and pairs[9][0] == 0
    groups = util.community_detection(rows, min_community_size=3)
    assert [sorted(group) for group in groups] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_little_or_nothing_to_compare_gives_no_pairs_and_no_communities() -> None:
    assert util.paraphrase_mining_embeddings(vectors(1, 0)) == []
    assert util.community_detection(np.empty((0, 4))) == util.community_detection(vectors(3, 0)) == []
    assert util.community_detection(vectors(3, 0), threshold=-1, min_community_size=9) == []
    assert util.semantic_search(vectors(2, 0), np.empty((0, 8), np.float32)) == [[], []]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: util.paraphrase_mining_embeddings(vectors(2, 0), top_k=0), "top_k is 0"),
        (lambda: util.paraphrase_mining_embeddings(vectors(2, 0), max_pairs=-1), "max_pairs is -1"),
        (lambda: util.community_detection(vectors(2, 0), threshold="x"), "threshold is 'x'"),  # type: ignore[arg-type]
        (lambda: util.community_detection(vectors(2, 0), batch_size=0), "batch_size is 0"),
        (lambda: util.semantic_search(vectors(2, 0), np.zeros(8)), r"The corpus has the shape \(8,\)"),
        (lambda: util.quantize_embeddings(np.zeros((2, 3), np.int8), "int8"), "torch.int8, not floats"),
        (lambda: util.mine_hard_negatives([], model=None), r"Fix: use st_spark\.mine_hard_negatives\(\)"),
    ],
)
def test_invalid_arguments_are_named(call: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor, list], ids=["array", "tensor", "list of arrays"])
def test_quantized_embeddings_have_the_bytes_of_the_oracle(precision: str, form: Any) -> None:
    from sentence_transformers.util import quantize_embeddings

    rows, sample = vectors(120, 1), vectors(150, 2)
    for options in ({}, {"ranges": np.vstack([sample.min(axis=0), sample.max(axis=0)])}):
        if options and not precision.endswith("int8"):
            continue
        ours = util.quantize_embeddings(form(rows), precision, **options)
        expected: Any = quantize_embeddings(form(rows), precision, **options)  # type: ignore[arg-type]
        assert ours.dtype == expected.dtype
        np.testing.assert_array_equal(ours, expected)
    calibrated = util.quantize_embeddings(rows[0], precision, calibration_embeddings=sample)
    np.testing.assert_array_equal(
        calibrated,
        quantize_embeddings(rows[0], precision, calibration_embeddings=sample),  # type: ignore[arg-type]
    )
    assert util.quantize_embeddings([], precision).shape == (0, 0)


def test_normalised_and_truncated_vectors() -> None:
    rows = vectors(3, 1)
    lengths = util.normalize_embeddings(rows).norm(dim=1)
    assert torch.allclose(lengths, torch.tensor([0.0, 1.0, 1.0]))
    assert util.normalize_embeddings(torch.tensor([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])
    assert util.truncate_embeddings(rows, 2).shape == (3, 2)
    assert util.truncate_embeddings(torch.as_tensor(rows[1]), None).shape == (8,)


def test_similarity_functions_have_names() -> None:
    kinds = util.SimilarityFunction
    assert kinds.possible_values() == ["cosine", "dot", "euclidean", "manhattan"]
    assert kinds.to_similarity_fn("dot") is util.dot_score
    assert kinds.to_similarity_pairwise_fn(kinds.COSINE) is util.pairwise_cos_sim
    assert st_spark.SimilarityFunction is kinds

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

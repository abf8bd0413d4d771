"""float32 vectors equal the vectors of sentence-transformers to 1e-5, for each family of the packed BERT forward."""

from pathlib import Path
from typing import Any

import pytest

from st_spark import SentenceTransformer
from tests.support import checkpoints
from tests.support.nasty import NASTY, PAIRS
from tests.support.oracle import assert_close, assert_same_vectors, oracle

LISTS = [list(pair) for pair in PAIRS]


@pytest.fixture(scope="module", params=checkpoints.WRITERS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of each family that the packed forward covers."""
    return checkpoints.WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def both(family: Path) -> tuple[SentenceTransformer, Any]:
    """Our model and the oracle."""
    return SentenceTransformer(family, device="cpu", dtype="float32"), oracle(family)


def test_nasty_texts_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any]) -> None:
    assert_same_vectors(*both, NASTY)


def test_pairs_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any]) -> None:
    """[title, text], with an empty half and with both halves cut."""
    assert_same_vectors(*both, LISTS)


def test_one_text_gives_one_vector(both: tuple[SentenceTransformer, Any]) -> None:
    assert_same_vectors(*both, "the cat sat")


@pytest.mark.parametrize("options", [{"prompt": "city: "}, {"prompt_name": "query"}, {"prompt": ""}])
def test_prompts_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any], options: dict[str, Any]) -> None:
    """The pooling of one family leaves the prompt out; prompt and text together exceed the limit for some texts."""
    assert_same_vectors(*both, NASTY, **options)
    assert_same_vectors(*both, LISTS, **options)


def test_encode_query_and_document_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any]) -> None:
    ours, theirs = both
    assert_close(ours.encode_query(NASTY), theirs.encode_query(NASTY, batch_size=4))
    assert_close(ours.encode_document(NASTY), theirs.encode_document(NASTY, batch_size=4))


@pytest.mark.parametrize("normalize", [False, True])
def test_truncated_dimensions_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any], normalize: bool) -> None:
    """truncate_dim acts before normalize_embeddings."""
    assert_same_vectors(*both, NASTY, truncate_dim=7, normalize_embeddings=normalize)


def test_similarity_equals_the_oracles(both: tuple[SentenceTransformer, Any]) -> None:
    """By the model's own similarity function."""
    ours, theirs = both
    vectors = theirs.encode(NASTY[:6])
    assert_close(ours.similarity(vectors, vectors).numpy(), theirs.similarity(vectors, vectors).numpy())


def test_dimension_and_longest_input_equal_the_oracles(both: tuple[SentenceTransformer, Any]) -> None:
    ours, theirs = both
    assert ours.max_seq_length == theirs.max_seq_length
    assert ours.get_sentence_embedding_dimension() == theirs.get_sentence_embedding_dimension()


@pytest.mark.parametrize("name", ["minilm", "mpnet"])
@pytest.mark.slow
def test_real_models_give_the_oracles_vectors(name: str, request: pytest.FixtureRequest) -> None:
    """all-MiniLM-L6-v2 and all-mpnet-base-v2, nasty texts, pairs and prompts."""
    folder = request.getfixturevalue(name)
    both = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
    assert_same_vectors(*both, NASTY)
    assert_same_vectors(*both, LISTS)
    assert_same_vectors(*both, NASTY, prompt="query: ")

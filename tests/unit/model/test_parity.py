"""float32 vectors equal the vectors of sentence-transformers to 1e-5, for each family of models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from st_spark import SentenceTransformer
from tests.support import checkpoints
from tests.support.nasty import NASTY, PAIRS


def oracle(folder: Path) -> Any:
    """Load the checkpoint in sentence-transformers."""
    from sentence_transformers import SentenceTransformer as Peer

    return Peer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})


@pytest.fixture(scope="module", params=checkpoints.WRITERS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of each family that the packed forward covers."""
    return checkpoints.WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def both(family: Path) -> tuple[SentenceTransformer, Any]:
    """Our model and theirs."""
    return SentenceTransformer(family, device="cpu", dtype="float32"), oracle(family)


def assert_close(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], tolerance: float = 1e-5) -> None:
    """Assert equal shapes, and elements within the tolerance."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == np.float32
    assert np.abs(ours - theirs).max() <= tolerance


def test_nasty_texts_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any]) -> None:
    """All texts in one call."""
    ours, theirs = both
    assert_close(ours.encode(NASTY), theirs.encode(NASTY))


def test_pairs_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any]) -> None:
    """[title, text], with an empty text and with both texts cut."""
    ours, theirs = both
    pairs = [list(pair) for pair in PAIRS]
    assert_close(ours.encode(pairs), theirs.encode(pairs))


def test_one_text_gives_the_oracles_vector(both: tuple[SentenceTransformer, Any]) -> None:
    """A str, not a list."""
    ours, theirs = both
    assert_close(ours.encode("the cat sat"), theirs.encode("the cat sat"))


@pytest.mark.parametrize("options", [{"prompt": "city: "}, {"prompt_name": "query"}, {"prompt": ""}])
def test_prompts_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any], options: dict[str, Any]) -> None:
    """Also if the pooling leaves the prompt out, and if text and prompt are cut."""
    ours, theirs = both
    assert_close(ours.encode(NASTY, **options), theirs.encode(NASTY, **options))
    pairs = [list(pair) for pair in PAIRS]
    assert_close(ours.encode(pairs, **options), theirs.encode(pairs, **options))


def test_query_and_document_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any]) -> None:
    """encode_query and encode_document."""
    ours, theirs = both
    assert_close(ours.encode_query(NASTY), theirs.encode_query(NASTY))
    assert_close(ours.encode_document(NASTY), theirs.encode_document(NASTY))


@pytest.mark.parametrize("normalize", [False, True])
def test_truncated_dimensions_give_the_oracles_vectors(both: tuple[SentenceTransformer, Any], normalize: bool) -> None:
    """truncate_dim applies before normalize_embeddings."""
    ours, theirs = both
    options: dict[str, Any] = {"truncate_dim": 7, "normalize_embeddings": normalize}
    assert_close(ours.encode(NASTY, **options), theirs.encode(NASTY, **options))


def test_similarity_is_the_oracles(both: tuple[SentenceTransformer, Any]) -> None:
    """By the model's similarity function."""
    ours, theirs = both
    vectors = theirs.encode(NASTY[:6])
    assert_close(ours.similarity(vectors, vectors).numpy(), theirs.similarity(vectors, vectors).numpy())


def test_dimension_and_limit_are_the_oracles(both: tuple[SentenceTransformer, Any]) -> None:
    ours, theirs = both
    assert ours.max_seq_length == theirs.max_seq_length
    assert ours.get_sentence_embedding_dimension() == theirs.get_sentence_embedding_dimension()


@pytest.mark.parametrize("name", ["minilm", "mpnet"])
@pytest.mark.slow
def test_real_models_give_the_oracles_vectors(name: str, request: pytest.FixtureRequest) -> None:
    """all-MiniLM-L6-v2 and all-mpnet-base-v2, nasty texts, pairs and prompts."""
    folder = request.getfixturevalue(name)
    ours, theirs = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
    pairs = [list(pair) for pair in PAIRS]
    alone = {"batch_size": 1}  # in one batch the oracle would pad every text to the longest one
    assert_close(ours.encode(NASTY), theirs.encode(NASTY, **alone))
    assert_close(ours.encode(pairs), theirs.encode(pairs, **alone))
    assert_close(ours.encode(NASTY, prompt="query: "), theirs.encode(NASTY, prompt="query: ", **alone))

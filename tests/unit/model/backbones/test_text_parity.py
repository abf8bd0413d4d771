"""float32 vectors equal the vectors of sentence-transformers to 1e-5 for each kind of documented transformer model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from st_spark import SentenceTransformer
from st_spark.model.backbones.bert import BertBackbone
from st_spark.model.backbones.t5 import T5Backbone
from st_spark.model.backbones.transformers_model import TransformersBackbone
from tests.support import text_checkpoints
from tests.support.nasty import NASTY, PAIRS
from tests.support.oracle import assert_close, assert_same_vectors, oracle

pytestmark = pytest.mark.slow

LISTS = [list(pair) for pair in PAIRS]
# SPECTER and DPR want title and text in one str; [SEP] becomes the special token.
TITLED = [f"{title} [SEP] {text}" for title, text in PAIRS] + ["London[SEP]people live"]


@pytest.fixture(scope="module", params=text_checkpoints.WRITERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of each kind."""
    return text_checkpoints.WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[SentenceTransformer, Any]:
    """Our model and the oracle."""
    return SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)


@pytest.mark.parametrize(
    "options", [{}, {"prompt": "city: "}, {"truncate_dim": 7}, {"truncate_dim": 7, "normalize_embeddings": True}]
)
def test_texts_and_pairs_give_the_oracles_vectors(
    both: tuple[SentenceTransformer, Any], options: dict[str, Any]
) -> None:
    for inputs in (NASTY, LISTS, TITLED, "one text"):
        assert_same_vectors(*both, inputs, **options)


def test_limits_and_similarity_equal_the_oracles(both: tuple[SentenceTransformer, Any]) -> None:
    ours, theirs = both
    assert ours.max_seq_length == theirs.max_seq_length
    assert ours.get_sentence_embedding_dimension() == theirs.get_embedding_dimension()
    vectors = theirs.encode(NASTY[:6])
    assert_close(ours.similarity(vectors, vectors).numpy(), theirs.similarity(vectors, vectors).numpy())


def test_a_model_saved_again_by_the_oracle_gives_equal_vectors(
    both: tuple[SentenceTransformer, Any], tmp_path: Path
) -> None:
    ours, theirs = both
    theirs.save(str(tmp_path / "new"))
    new = SentenceTransformer(tmp_path / "new", device="cpu", dtype="float32")
    assert new.max_seq_length == ours.max_seq_length
    assert np.array_equal(new.encode(NASTY), ours.encode(NASTY))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("t5", T5Backbone),
        ("multilingual-minilm", BertBackbone),
        ("albert", BertBackbone),
        ("electra", BertBackbone),
        ("albert-layers", TransformersBackbone),
    ],
)
def test_each_architecture_gets_its_forward(name: str, kind: type, tmp_path: Path) -> None:
    model = SentenceTransformer(text_checkpoints.WRITERS[name](tmp_path / "model"), device="cpu")
    assert type(model.modules[0].backbone) is kind


def test_plain_transformers_folders_get_mean_pooling(tmp_path: Path) -> None:
    for writer in (text_checkpoints.write_gated_t5, text_checkpoints.write_albert):
        folder = writer(tmp_path / writer.__name__)
        for file in (*folder.glob("sentence_*"), *folder.glob("config_sentence*"), folder / "modules.json"):
            file.unlink()
        ours, theirs = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
        assert ours.max_seq_length == theirs.max_seq_length
        assert_same_vectors(ours, theirs, NASTY)


def test_instructors_leave_the_prompt_out_by_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text_checkpoints.write_t5(tmp_path / "hkunlp" / "instructor-large")
    monkeypatch.chdir(tmp_path)
    ours = SentenceTransformer("hkunlp/instructor-large", device="cpu", dtype="float32")
    theirs = oracle(Path("hkunlp/instructor-large"))
    prompt = "Represent the sentence: "
    assert_same_vectors(ours, theirs, NASTY, prompt=prompt)

    copy = (tmp_path / "hkunlp" / "instructor-large").rename(tmp_path / "copy")
    named = SentenceTransformer(copy, device="cpu", dtype="float32", name="hkunlp/instructor-large")
    assert np.array_equal(named.encode(NASTY, prompt=prompt), ours.encode(NASTY, prompt=prompt))
    other = SentenceTransformer(copy, device="cpu", dtype="float32")
    assert np.abs(other.encode(NASTY, prompt=prompt) - ours.encode(NASTY, prompt=prompt)).max() > 1e-3
    other.set_pooling_include_prompt(False)
    assert np.array_equal(other.encode(NASTY, prompt=prompt), ours.encode(NASTY, prompt=prompt))

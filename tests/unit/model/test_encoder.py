"""SentenceTransformer: batches, counts, limits, errors."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError, StSparkError
from tests.support.nasty import NASTY
from tests.support.paths import SHARED


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    """The tiny BERT in float32."""
    return SentenceTransformer(tiny_model, device="cpu", dtype="float32")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(texts=st.lists(st.text(max_size=80), max_size=30), batch_size=st.none() | st.integers(1, 7))
def test_vector_does_not_depend_on_its_batch(
    model: SentenceTransformer, texts: list[str], batch_size: int | None
) -> None:
    """With any other texts and any micro-batch size: as if encoded alone."""
    together = model.encode(texts, batch_size=batch_size)
    assert together.shape == (len(texts), 32)
    for text, vector in zip(texts, together, strict=True):
        assert np.abs(model.encode(text) - vector).max() < 1e-6


def test_no_texts_give_an_empty_matrix(model: SentenceTransformer) -> None:
    """[0, d], so that it can be stacked with others."""
    assert model.encode([]).shape == (0, 32)


def test_embed_counts_tokens_and_marks_truncated_texts(model: SentenceTransformer) -> None:
    """[CLS] and [SEP] count."""
    encoded = model.embed(["", "the cat", "cat " * 100])
    assert encoded.n_tokens.tolist() == [2, 4, 64]
    assert encoded.truncated.tolist() == [False, False, True]


def test_bfloat16_stays_close_to_float32(model: SentenceTransformer, tiny_model: Path) -> None:
    """The vectors are float32 and normalised."""
    half = SentenceTransformer(tiny_model, device="cpu", dtype="bfloat16")
    vectors = half.encode(NASTY)
    assert half.dtype == "bfloat16"
    assert vectors.dtype == np.float32
    assert (vectors * model.encode(NASTY)).sum(axis=1).min() >= 0.999


@pytest.mark.slow
def test_bfloat16_keeps_a_cosine_of_0_9999_on_2000_real_texts(minilm: Path) -> None:
    """The lowest cosine, on the sentences of the STS tasks."""
    parquet = pytest.importorskip("pyarrow.parquet")
    file = SHARED / "data" / "sts.parquet"
    if not file.exists():
        pytest.skip(f"the evaluation set {file.name} is not there")
    texts = list(dict.fromkeys(parquet.read_table(file)["sentence1"].to_pylist()))[:2000]
    full, half = (SentenceTransformer(minilm, device="cpu", dtype=d).encode(texts) for d in ("float32", "bfloat16"))
    cosines = (full * half).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosines.min() >= 0.9999


def test_every_model_has_query_and_document_prompts(model: SentenceTransformer) -> None:
    """They are empty if the model stores none; other names are rejected."""
    assert np.array_equal(model.encode_query("cat"), model.encode("cat"))
    with pytest.raises(InputError, match=r"prompt_name='passage' is not one of .* Fix"):
        model.encode("cat", prompt_name="passage")


def test_max_seq_length_can_be_reduced(tiny_model: Path) -> None:
    """For the next call."""
    short = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    short.max_seq_length = 8
    assert short.embed(["cat " * 100]).n_tokens.tolist() == [8]


def test_plain_roberta_cuts_texts_at_its_position_limit(tmp_path: Path) -> None:
    """514 position embeddings allow 512 tokens; the oracle crashes on more."""
    from tests.support import checkpoints

    folder = checkpoints.write_roberta(tmp_path / "plain", max_seq_length=None)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"model_max_length": 512,', ""))
    model = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert model.max_seq_length == 512
    assert model.embed(["cat " * 600]).n_tokens.tolist() == [512]


@pytest.mark.parametrize("size", [0, -3])
def test_truncate_dim_below_one_is_rejected(model: SentenceTransformer, size: int) -> None:
    """With the value."""
    with pytest.raises(InputError, match=f"truncate_dim={size}"):
        model.encode("cat", truncate_dim=size)


def test_truncate_dim_above_the_dimension_keeps_all(model: SentenceTransformer) -> None:
    """As in sentence-transformers."""
    assert model.encode("cat", truncate_dim=99).shape == (32,)


def test_folder_without_a_model_is_rejected(tmp_path: Path) -> None:
    """Before torch is asked to do anything."""
    with pytest.raises(ModelError, match="Fix"):
        SentenceTransformer(tmp_path)


def test_errors_are_one_line_and_survive_pickling(tmp_path: Path) -> None:
    """They reach the driver pickled."""
    import pickle

    with pytest.raises(StSparkError) as caught:
        SentenceTransformer(tmp_path)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert "\n" not in str(again)

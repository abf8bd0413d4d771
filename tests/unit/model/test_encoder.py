"""SentenceTransformer: batches, counts, limits, errors."""

import json
import shutil
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError, StSparkError
from st_spark.hardware import faster, gemm_rates
from st_spark.model.inputs.packed import Packed
from st_spark.util import semantic_search
from tests.support.nasty import NASTY
from tests.support.oracle import assert_close, oracle
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
def test_bfloat16_keeps_a_cosine_of_0_9999_on_real_texts(minilm: Path) -> None:
    """The lowest cosine, on the sentences of the STS tasks. A processor without bfloat16 takes minutes for 2,000."""
    parquet = pytest.importorskip("pyarrow.parquet")
    file = SHARED / "data" / "sts.parquet"
    if not file.exists():
        pytest.skip(f"the evaluation set {file.name} is not there")
    texts = list(dict.fromkeys(parquet.read_table(file)["sentence1"].to_pylist()))
    texts = texts[: 2000 if faster(gemm_rates(), "bfloat16") else 200]
    full, half = (SentenceTransformer(minilm, device="cpu", dtype=d).encode(texts) for d in ("float32", "bfloat16"))
    cosines = (full * half).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosines.min() >= 0.9999


def test_every_model_has_query_and_document_prompts(model: SentenceTransformer) -> None:
    """They are empty if the model stores none; other names are rejected."""
    assert np.array_equal(model.encode_query("cat"), model.encode("cat"))
    with pytest.raises(InputError, match=r"prompt_name='passage' is not one of .* Fix"):
        model.encode("cat", prompt_name="passage")


@pytest.mark.parametrize("names", [("passage", "corpus"), ("corpus",), ("corpus", "document", "passage"), ("other",)])
def test_documents_get_the_first_prompt_for_documents(tiny_model: Path, names: tuple[str, ...]) -> None:
    """A model whose only prompt is "passage" expects it."""
    model = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    theirs = oracle(tiny_model)
    model.prompts = theirs.prompts = {name: f"{name} cat " for name in names}
    assert_close(model.encode_document(["dog"]), theirs.encode_document(["dog"]))
    assert_close(model.encode_query(["dog"]), theirs.encode_query(["dog"]))


def test_prompt_replaces_a_prompt_name_with_a_warning(
    model: SentenceTransformer, caplog: pytest.LogCaptureFixture
) -> None:
    assert np.array_equal(model.encode("dog", prompt="cat ", prompt_name="query"), model.encode("cat dog"))
    assert "prompt_name='query'" in caplog.text


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


@pytest.mark.parametrize(
    ("family", "stored", "most"),
    [("bert", 1024, 512), ("roberta", 1024, 512), ("mpnet", 600, 512), ("distilbert", 10**12, 512)],
)
def test_stored_limit_above_the_positions_is_lowered(tmp_path: Path, family: str, stored: int, most: int) -> None:
    """A long text was an IndexError."""
    from tests.support import checkpoints

    folder = checkpoints.WRITERS[family](tmp_path / "model")
    for file in folder.glob("sentence_*_config.json"):
        file.write_text(json.dumps({"max_seq_length": stored}))
    model = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert model.max_seq_length == most
    encoded = model.embed(["cat " * 2000, "cat"])
    assert encoded.n_tokens[0] == most and encoded.truncated.tolist() == [True, False]
    with pytest.raises(InputError, match=f"max_seq_length={most + 1} is more than the {most} positions"):
        model.max_seq_length = most + 1


@pytest.mark.parametrize("stored", [0, -5, "128", True, 128.5])
def test_stored_limit_that_is_no_number_of_tokens_is_refused(tiny_model: Path, tmp_path: Path, stored: object) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": stored}))
    with pytest.raises(ModelError, match="'max_seq_length' is"):
        SentenceTransformer(folder, device="cpu")


@pytest.mark.parametrize("value", [100_000, 2, 0, -5, 8.0, True])
def test_limit_that_the_model_cannot_keep_is_refused(model: SentenceTransformer, value: Any) -> None:
    """[CLS] and [SEP] leave no room in two tokens."""
    with pytest.raises(InputError, match=f"max_seq_length(=| is ){value}"):
        model.max_seq_length = value
    assert model.max_seq_length == 64


NO_COUNTS = [0, -1, 2.5, 2.0, True, "3", float("nan")]


@pytest.mark.parametrize("option", ["batch_size", "truncate_dim"])
@pytest.mark.parametrize("value", NO_COUNTS)
def test_number_that_is_no_count_is_refused(model: SentenceTransformer, option: str, value: Any) -> None:
    """batch_size=0 took all memory."""
    with pytest.raises(InputError, match=rf"{option} is {value!r}\. Fix: give a whole number, 1 or more"):
        model.encode(["cat", "dog"], **{option: value})


@pytest.mark.parametrize("value", NO_COUNTS)
def test_number_of_threads_that_is_no_count_is_refused(tiny_model: Path, value: Any) -> None:
    with pytest.raises(InputError, match=f"threads is {value!r}"):
        SentenceTransformer(tiny_model, threads=value)


@pytest.mark.parametrize("option", ["top_k", "query_chunk_size", "corpus_chunk_size"])
@pytest.mark.parametrize("value", NO_COUNTS)
def test_search_number_that_is_no_count_is_refused(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{option} is {value!r}"):
        semantic_search(np.eye(3), np.eye(3), **{option: value})


def test_numpy_integers_are_numbers(model: SentenceTransformer) -> None:
    options: Any = {"batch_size": np.int64(2), "truncate_dim": np.int32(4)}
    assert model.encode(["cat"] * 3, **options).shape == (3, 4)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
def test_device_that_is_not_there_is_refused(tiny_model: Path, device: str) -> None:
    with pytest.raises(InputError, match=f"device='{device}' cannot be used"):
        SentenceTransformer(tiny_model, device=device)


@pytest.mark.parametrize(
    "sentences",
    [{"cat", "dog"}, {"cat": 1, "dog": 2}, (text for text in ["cat"]), None, 3, iter(["cat"]), {"a": "b"}.values()],
    ids=lambda value: type(value).__name__,
)
def test_sentences_without_an_order_are_refused(model: SentenceTransformer, sentences: Any) -> None:
    """A set and a dict were taken in some order, a generator was a raw TypeError."""
    with pytest.raises(InputError, match=r"The sentences are of type .*, which is not a list. Fix: give a list"):
        model.encode(sentences)


@pytest.mark.parametrize("one", ["cat", b"cat", Path("cat.png")], ids=repr)
def test_embed_takes_lists_alone(model: SentenceTransformer, one: Any) -> None:
    """A str was read letter by letter."""
    with pytest.raises(InputError, match="is not a list"):
        model.embed(one)


@pytest.mark.parametrize("make", [tuple, np.array, pd.Series, pd.Index, deque], ids=lambda make: make.__name__)
def test_every_kind_of_list_is_read(model: SentenceTransformer, make: Any) -> None:
    assert np.array_equal(model.encode(make(["cat", "a dog"])), model.encode(["cat", "a dog"]))
    pairs = [["cat", "a dog"], ["the mat", "x"]]
    assert np.array_equal(model.encode(np.array(pairs)), model.encode(pairs))  # type: ignore[arg-type]


def test_half_a_surrogate_pair_is_data_in_a_text_and_an_error_in_an_option(model: SentenceTransformer) -> None:
    assert np.array_equal(model.encode("a \ud83d cat"), model.encode("a \ufffd cat"))
    with pytest.raises(InputError, match=r"prompt has half a surrogate pair, '\\ud83d', at character 2"):
        model.encode("cat", prompt="a \ud83d")


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


def test_texts_that_a_gpu_has_no_memory_for_are_halved(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Until they fit; later calls begin with what fitted. One text that does not fit is an error."""
    model = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    texts = ["the cat sat on the mat", "a dog", "rain"] * 20
    expected, pooling, sizes = model.encode(texts), model.modules[1], []

    class Small:
        room = 60
        dimension = pooling.dimension

        def __call__(self, batch: Packed) -> Packed:
            sizes.append(len(batch.ids))
            if len(batch.ids) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return pooling(batch)

    model.modules[1] = Small()
    assert_close(model.encode(texts), expected)
    assert "The GPU has no memory for " in caplog.text
    tried = len(sizes)
    assert_close(model.encode(texts), expected)
    assert max(sizes[tried:]) <= Small.room
    Small.room = 4
    with pytest.raises(torch.OutOfMemoryError):
        model.encode(texts)

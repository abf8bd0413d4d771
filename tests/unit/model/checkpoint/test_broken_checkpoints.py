"""Checkpoints that are broken in one way each: each is refused before work starts, with the message of the docs."""

import shutil
from pathlib import Path

import pytest

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model import check
from st_spark.model.backbones.transformers_model import TransformersBackbone
from tests.support import broken_checkpoints as broken
from tests.support.broken_checkpoints import CASES, LAYER, WRITERS, Case

pytestmark = pytest.mark.slow  # all cases together


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_a_broken_checkpoint_is_refused_with_the_message_of_the_docs(tmp_path: Path, case: Case) -> None:
    """By the check, which says nothing else, and by the loader."""
    folder = case.write(tmp_path / "model")
    faults = check.examine(folder).faults
    assert [broken.message(fault, folder) for fault in faults] == [broken.rows()[case.what]]
    with pytest.raises(ModelError):
        SentenceTransformer(folder, device="cpu")


def test_the_page_lists_the_cases_and_no_others() -> None:
    assert list(broken.rows()) == [case.what for case in CASES]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """In the files of JSON, in the weights, in the tokenizer, in two modules."""
    folder = WRITERS["xlm-roberta"](tmp_path / "model")
    for change in (
        broken.without(LAYER),
        broken.lost("tokenizer.json"),
        broken.set_in("1_Pooling/config.json", pooling_mode="attention"),
        broken.set_in("config_sentence_transformers.json", truncate_dim=0),
        broken.set_in("sentence_bert_config.json", query_length=8),
        lambda folder: shutil.rmtree(folder / "2_Dense"),
    ):
        change(folder)
    with pytest.raises(ModelError) as caught:
        check.check(folder)
    text = str(caught.value)
    for said in (LAYER, "tokenizer.json", "'attention'", "'truncate_dim' is 0", "'query_length' is 8", "'2_Dense'"):
        assert said in text
    assert text.startswith("6 things are wrong. 1. ") and "\n" not in text
    assert len(caught.value.parts) == 6


@pytest.mark.parametrize("family", sorted(WRITERS))
def test_a_whole_checkpoint_passes_and_is_described(tmp_path: Path, family: str) -> None:
    """The check and the loader agree on every kind of model."""
    folder = WRITERS[family](tmp_path / "model")
    report = check.examine(folder)
    assert not report.faults
    loaded = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert report.found["dimension"] == str(loaded.get_sentence_embedding_dimension())
    limit = loaded.max_seq_length
    assert ("no limit" if limit is None else f"{limit:,}") in report.found["max tokens"].split(" | ")
    padded = isinstance(getattr(loaded.modules[0], "backbone", None), TransformersBackbone)
    assert ("transformers' code" in report.found["path"]) == padded


def test_a_check_reads_no_weights_of_a_packed_model_into_memory(minilm: Path) -> None:
    report = check.examine(minilm)
    assert report.found["weights"] == "22.7 million parameters, 91.6 MB of files"
    assert report.found["format"] == "Transformer + Pooling + Normalize"

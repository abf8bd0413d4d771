"""What sentence-transformers 5 and 6 write into sentence_bert_config.json: the same vectors, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from st_spark.model import check
from tests.support import checkpoints
from tests.support.oracle import assert_same_vectors, oracle

TEXTS = ["a cat", "the sun and the moon went out in the rain " * 9, "x", ""]
LAST = {"method": "forward", "method_output_name": "last_hidden_state"}


def write(folder: Path, settings: dict[str, Any]) -> Path:
    checkpoints.write_bert(folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({"max_seq_length": 64, "modality_config": {"text": LAST}, "module_output_name": "token_embeddings"}, 64),
        ({"max_seq_length": 64, "processing_kwargs": {"text": {"max_length": 8}}}, 8),
        ({"max_seq_length": 8, "processing_kwargs": {"text": {"max_length": 16}}}, 16),
        ({"max_seq_length": 64, "processing_kwargs": {"text": {"padding": "max_length", "max_length": 32}}}, 32),
        ({"max_seq_length": 64, "processing_kwargs": {"text": {"truncation": True}}}, 64),
        ({"max_seq_length": 64, "processing_kwargs": {"image": {"size": 3}, "chat_template": {"a": 1}}}, 64),
        ({"max_seq_length": 64, "processing_kwargs": {"common": {}, "unheard_of": {"max_length": 8}}}, 64),
        ({"max_seq_length": 64, "unpad_inputs": False, "transformer_task": "feature-extraction"}, 64),
        ({"max_seq_length": 64, "unpad_inputs": True, "query_length": None}, 64),
        ({"processor_kwargs": {"model_max_length": 8}}, 8),
        ({"max_seq_length": 16, "processor_kwargs": {"model_max_length": 8}}, 8),
        ({"max_seq_length": 9, "do_lower_case": True}, 9),
    ],
)
def test_settings_mean_what_they_mean_to_sentence_transformers(
    tmp_path: Path, settings: dict[str, Any], longest: int
) -> None:
    folder = write(tmp_path / "model", settings)
    ours = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert ours.embed(TEXTS).n_tokens.max() == longest
    assert_same_vectors(ours, oracle(folder), TEXTS)


@pytest.mark.parametrize(
    "settings",
    [
        {"modality_config": {"text": LAST, "message": LAST}, "module_output_name": "token_embeddings"},
        {"modality_config": {"text": {**LAST, "method": "get_text_features"}}},
        {"modality_config": {"text": {**LAST, "method_output_name": "pooler_output"}}},
        {"modality_config": {"text": LAST}, "module_output_name": "sentence_embedding"},
        {"modality_config": {"image": LAST}, "module_output_name": "token_embeddings"},
        {"processing_kwargs": {"text": {"truncation": False}}},
        {"processing_kwargs": {"text": {"truncation": "only_first"}}},
        {"processing_kwargs": {"text": {"add_special_tokens": False}}},
        {"processing_kwargs": {"common": {"padding_side": "left"}}},
        {"processing_kwargs": ["text"]},
        {"query_length": 8},
        {"document_length": 8},
        {"query_expansion": {"strategy": "fixed", "length": 32}},
        {"transformer_task": "fill-mask"},
    ],
    ids=json.dumps,
)
def test_settings_that_we_do_not_have_are_refused_by_name(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = write(tmp_path / "model", settings)
    (fault,) = check.examine(folder).faults
    assert f"sentence_bert_config.json: {next(iter(settings))!r} is " in str(fault) and "Fix: It must be" in str(fault)
    with pytest.raises(ModelError):
        SentenceTransformer(folder, device="cpu")

"""Model folders with descriptions and no weights, to test how checkpoints are read."""

import json
from pathlib import Path
from typing import Any

import pytest

from st_spark.errors import ModelError
from st_spark.model.checkpoint import checkpoint
from st_spark.model.checkpoint.checkpoint import Checkpoint

# The packages of sentence-transformers' module classes: before version 5.4, and since.
OLD, BASE = "sentence_transformers.models", "sentence_transformers.base.modules"
NEW = "sentence_transformers.sentence_transformer.modules"


def put(file: Path, content: Any) -> None:
    """Write a text, or anything else as JSON, with the folders of the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def module(path: str, kind: str, position: int = 0, **more: object) -> dict[str, object]:
    """Return one entry of modules.json."""
    return {"idx": position, "name": str(position), "path": path, "type": kind, **more}


def write_description(model: Path) -> Path:
    """Write the JSON files of a BERT with mean pooling."""
    put(model / "config.json", {"model_type": "bert"})
    put(model / "model.safetensors", "")
    put(model / "sentence_bert_config.json", {"max_seq_length": 128})
    put(model / "1_Pooling" / "config.json", {"embedding_dimension": 8, "pooling_mode": "mean"})
    put(model / "modules.json", [module("", f"{OLD}.Transformer"), module("1_Pooling", f"{OLD}.Pooling", 1)])
    return model


def kinds(read: Checkpoint) -> list[str]:
    """Return the kinds of the modules."""
    return [spec.kind for spec in read.modules]


def refusal(folder: Path) -> str:
    """Return the error of a folder that cannot be read."""
    with pytest.raises(ModelError) as caught:
        checkpoint.read(folder)
    assert caught.value.fix
    return str(caught.value)

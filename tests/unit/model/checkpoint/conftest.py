"""A model folder without weights."""

from pathlib import Path

import pytest

from tests.support.model_folders import write_description


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The description of a BERT with mean pooling."""
    return write_description(tmp_path / "model")

"""Files of weights: pickles that hold tensors alone, and damaged files."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from tests.support.nasty import NASTY


def test_pickled_tensors_load_and_code_in_a_pickle_does_not(tiny_model: Path, tmp_path: Path) -> None:
    """pytorch_model.bin is read with weights_only; a pickle that would run code is refused."""
    from safetensors.torch import load_file

    folder = shutil.copytree(tiny_model, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    vectors = SentenceTransformer(folder, device="cpu", dtype="float32").encode(NASTY)
    assert np.array_equal(vectors, SentenceTransformer(tiny_model, device="cpu", dtype="float32").encode(NASTY))

    mark = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (mark,))  # type: ignore[return-value]

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"embeddings": Trap()}))
    with pytest.raises(ModelError, match="not a file of plain weights"):
        SentenceTransformer(folder, device="cpu")
    assert not mark.exists()


def test_a_damaged_weights_file_is_named(tiny_model: Path, tmp_path: Path) -> None:
    """Half a download."""
    folder = shutil.copytree(tiny_model, tmp_path / "half")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        SentenceTransformer(folder, device="cpu")

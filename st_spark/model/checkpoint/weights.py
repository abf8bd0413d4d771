"""Tensors of a checkpoint folder by name: safetensors first, memory-mapped; a pickle only as plain weights."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.errors import ModelError

if TYPE_CHECKING:
    import torch


class Weights(Mapping[str, "torch.Tensor"]):
    """The tensors of one folder, read when asked for.

    Raises:
        ModelError: No weights file, a broken one, or one that holds more than tensors.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._homes: dict[str, Any] = {}
        for file in _files(folder):
            source = _open_safetensors(file) if file.suffix == ".safetensors" else _load_pickle(file)
            self._homes.update(dict.fromkeys(source.keys(), source))

    def __getitem__(self, name: str) -> "torch.Tensor":
        """The tensor of that name, mapped from the file where the format allows it."""
        source = self._homes[name]
        tensor: torch.Tensor = source[name] if isinstance(source, dict) else source.get_tensor(name)
        return tensor

    def need(self, name: str) -> "torch.Tensor":
        """The tensor of that name.

        Raises:
            ModelError: There is none.
        """
        if name not in self._homes:
            raise ModelError(
                f"{self.folder} has no tensor {name!r}, which its config.json promises.",
                "the checkpoint is incomplete or of another architecture: copy or download it again.",
            )
        return self[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._homes)

    def __len__(self) -> int:
        """How many tensors."""
        return len(self._homes)


def _files(folder: Path) -> list[Path]:
    for single, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            shards = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()
            return [folder / Path(shard).name for shard in sorted(set(shards))]
    raise ModelError(
        f"{folder} has no weights (neither model.safetensors nor pytorch_model.bin).",
        "download the model again, or name the folder that sentence-transformers saved.",
    )


def _open_safetensors(file: Path) -> Any:  # noqa: ANN401  (safetensors has no types)
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{file} cannot be read: {error}.", "the file is damaged: copy or download it again."
        ) from error


def _load_pickle(file: Path) -> dict[str, "torch.Tensor"]:
    import pickle

    import torch

    try:
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, OSError) as error:
        if "mmap" not in str(error):
            raise _damaged(file, error) from error
        try:  # a file of torch < 1.6 cannot be mapped
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, OSError) as again:
            raise _damaged(file, again) from again
    return state


def _damaged(file: Path, error: Exception) -> ModelError:
    reason = str(error).splitlines()[0]
    return ModelError(
        f"{file} is not a file of plain weights: {reason}", "convert it to safetensors, or copy it again."
    )

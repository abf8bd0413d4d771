"""Read the tensors of a model folder by name: memory-mapped safetensors, or a pickle of tensors alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.errors import ModelError

if TYPE_CHECKING:
    import torch


class Weights:
    """The tensors of one folder, each read on access.

    Raises:
        ModelError: No weights file, a damaged one, or one that holds more than tensors.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sources: dict[str, Any] = {}
        for file in _files(folder):
            source = _open_safetensors(file) if file.suffix == ".safetensors" else _load_pickle(file)
            self._sources.update(dict.fromkeys(source.keys(), source))

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __contains__(self, name: str) -> bool:
        return name in self._sources

    def __getitem__(self, name: str) -> "torch.Tensor":
        """Return a tensor, memory-mapped if the file's format allows it; ModelError if there is none."""
        if name not in self._sources:
            raise ModelError(
                f"{self.folder} has no tensor {name!r}, which its config.json requires.",
                "the checkpoint is incomplete or has another architecture: copy or download it again.",
            )
        source = self._sources[name]
        tensor: torch.Tensor = source[name] if isinstance(source, dict) else source.get_tensor(name)
        return tensor


def _files(folder: Path) -> list[Path]:
    for single in ("model.safetensors", "pytorch_model.bin"):
        if (folder / single).is_file():
            return [folder / single]
        if (index := folder / f"{single}.index.json").is_file():
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            return [folder / Path(shard).name for shard in sorted(set(shards))]
    raise ModelError(
        f"{folder} has no weights (neither model.safetensors nor pytorch_model.bin).",
        "download the model again, or give the folder that sentence-transformers saved.",
    )


def _open_safetensors(file: Path) -> Any:  # noqa: ANN401  (safetensors has no types)
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        fix = "the file is damaged: copy or download it again."
        raise ModelError(f"{file} cannot be read: {error}.", fix) from error


def _load_pickle(file: Path) -> dict[str, "torch.Tensor"]:
    import pickle

    import torch

    def load(mmap: bool) -> dict[str, torch.Tensor]:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)

    try:
        try:
            return load(mmap=True)
        except (pickle.UnpicklingError, RuntimeError, OSError) as error:
            if "mmap" not in str(error):
                raise
            return load(mmap=False)  # a file of torch before 1.6 cannot be mapped
    except (pickle.UnpicklingError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        fix = "convert it to safetensors, or copy it again."
        raise ModelError(f"{file} is not a file of plain weights: {reason}", fix) from error

"""Read the tensors of a model folder by name: memory-mapped safetensors, or a pickle of tensors alone."""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.errors import ModelError
from st_spark.model.checkpoint.json_files import invalid, read_object

if TYPE_CHECKING:
    import torch


# Numbers that old versions of transformers saved with the weights (the last two are GPT's causal masks), and T5's
# second name of its word embeddings.
BUFFERS = re.compile(
    r"(^|\.)(position_ids|token_type_ids|inv_freq|embed_tokens\.weight|(attn|attention)\.(masked_)?bias)$"
)

# Weights in the formats of other programs.
_OTHER_FORMATS = (".gguf", ".onnx", ".xml", ".h5", ".msgpack", ".ot", ".mlmodel", ".tflite")


class Weights:
    """The tensors of one folder, each read on access.

    Raises:
        ModelError: No weights file, a damaged one, or one that holds more than tensors.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sources: dict[str, Any] = {}
        self._read: set[str] = set()
        check_weights(folder)
        for file in _files(folder):
            source = _open_safetensors(file) if file.suffix == ".safetensors" else _load_pickle(file)
            self._sources.update(dict.fromkeys(source.keys(), source))

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __contains__(self, name: str) -> bool:
        return name in self._sources

    def __getitem__(self, name: str) -> "torch.Tensor":
        """Return a tensor, memory-mapped if the file's format allows it; ModelError if there is none."""
        if name not in self._sources:
            raise ModelError(
                f"{self.folder} has no tensor {name!r}, which its config.json requires.",
                "the checkpoint is incomplete or has another architecture: copy or download it again.",
            )
        self._read.add(name)
        source = self._sources[name]
        tensor: torch.Tensor = source[name] if isinstance(source, dict) else source.get_tensor(name)
        check_finite(self.folder, name, tensor)
        return tensor

    def count(self) -> int:
        """Return how many numbers the tensors hold, without reading them."""
        return sum(math.prod(self._shape(name)) for name in self)

    def _shape(self, name: str) -> Sequence[int]:
        source = self._sources[name]
        shape: Sequence[int] = source[name].shape if isinstance(source, dict) else source.get_slice(name).get_shape()
        return shape

    def check_all_read(self, prefix: str = "") -> None:
        """Check that the model has read all weights of its parts; ModelError if some are left.

        A part is the word after the prefix: "embeddings" or "encoder". Parts without a weight that was read, such as a
        head or a decoder, do not count.
        """
        read = (name.removeprefix(prefix) for name in self._read if name.startswith(prefix))
        parts = tuple({f"{prefix}{name.split('.')[0]}." for name in read})
        left = [name for name in self if name.startswith(parts) and name not in self._read and not BUFFERS.search(name)]
        if left:
            problem = f"{self.folder} has weights that its config.json does not mention: {some(left)}."
            raise ModelError(problem, "its config.json belongs to another model: copy or download both again.")


def check_finite(folder: Path, name: str, tensor: "torch.Tensor") -> None:
    """Raise ModelError if a tensor holds NaN or infinity: the vectors of some or all texts would be NaN."""
    # One number outside makes the sum NaN or infinite; a sum of large numbers can be infinite, too.
    if tensor.is_floating_point() and not tensor.sum().isfinite() and not tensor.isfinite().all():
        problem = f"{folder}: the tensor {name!r} holds NaN or infinity."
        raise ModelError(problem, "copy or download it again; if it stays so, its training went wrong: choose another.")


def some(names: Collection[str]) -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(sorted(names)[:3]) + more


def check_weights(folder: Path) -> None:
    """Raise ModelError if a folder has no weights, or one of their files is not there. Nothing is loaded."""
    for file in _files(folder):
        if not file.is_file():
            raise ModelError(f"{file} is missing.", "copy or download the model again, with all of its files.")


def _files(folder: Path) -> list[Path]:
    for single in ("model.safetensors", "pytorch_model.bin"):
        if (folder / single).is_file():
            return [folder / single]
        if (index := folder / f"{single}.index.json").is_file():
            shards = read_object(index).get("weight_map")
            if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
                raise invalid(index, "'weight_map'", shards, "an object of tensor to file name")
            return [folder / Path(shard).name for shard in sorted(set(shards.values()))]
    others = [file.relative_to(folder) for file in sorted(folder.rglob("*")) if file.suffix in _OTHER_FORMATS]
    also = f"; {', '.join(map(str, others[:3]))} cannot be used" if others else ""
    raise ModelError(
        f"{folder} has no weights (neither model.safetensors nor pytorch_model.bin{also}).",
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

    fix = "convert it to safetensors, or copy it again."
    try:
        try:
            tensors = load(mmap=True)
        except (pickle.UnpicklingError, RuntimeError, OSError) as error:
            if "mmap" not in str(error):
                raise
            tensors = load(mmap=False)  # a file of torch before 1.6 cannot be mapped
    except Exception as error:  # torch raises many kinds for damaged files
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        if isinstance(error, pickle.UnpicklingError):  # torch's own words advise to run the code
            reason = "it holds more than tensors, or is damaged"
        raise ModelError(f"{file} is not a file of plain weights: {reason}.", fix) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ModelError(f"{file} is not a file of plain weights: it is no dict of tensors.", fix)
    return tensors

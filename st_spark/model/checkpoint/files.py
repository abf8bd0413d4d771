"""List the files of a model folder that loading reads, check that they lie inside it, and hash their content."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from st_spark.errors import ModelError

# Formats of other runtimes, code and documents: never read, and often many times larger than the model.
_OTHER_FOLDERS = {"onnx", "openvino", "coreml", "__pycache__"}
_OTHER_SUFFIXES = {
    *(".h5", ".msgpack", ".ot", ".onnx", ".tflite", ".mlmodel", ".gguf"),
    *(".py", ".pyc", ".md", ".rst", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".lock"),
}
_OTHER_NAMES = {"README", "LICENSE", "LICENSE.txt", "NOTICE", "NOTICE.txt", "README.txt"}
_SAFE_WEIGHTS = {"model.safetensors", "model.safetensors.index.json"}
_PICKLED_WEIGHTS = re.compile(r"pytorch_model.*\.bin(\.index\.json)?")
# Only these are looked at: other files can lie beside them, such as the heads of bge-m3.
_READ = (".safetensors", ".bin", ".json", ".txt", ".model")
# What git writes in place of a large file that it has not fetched.
_POINTER = b"version https://git-lfs"
_UNLINK = "Copy the model with its links resolved (cp -rL), if you trust their targets."

_digests: dict[str, tuple[tuple[tuple[str, int, int], ...], str]] = {}


def select(names: Iterable[str]) -> list[str]:
    """Return the names that loading reads.

    Args:
        names: Paths relative to the model folder, with forward slashes.

    Returns:
        The names, sorted, without pickled weights if the same folder has safetensors.
    """
    paths = [PurePosixPath(name) for name in names]
    safe = {path.parent for path in paths if path.name in _SAFE_WEIGHTS}
    kept = (
        path.as_posix()
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
        and _OTHER_FOLDERS.isdisjoint(path.parts[:-1])
        and path.suffix.lower() not in _OTHER_SUFFIXES
        and path.name not in _OTHER_NAMES
        and not (path.parent in safe and _PICKLED_WEIGHTS.fullmatch(path.name))
    )
    return sorted(kept)


def model_files(folder: Path) -> list[Path]:
    """List the files that loading this folder reads. The executors need the same files.

    Args:
        folder: A model folder.

    Returns:
        Paths relative to the folder, sorted by name.

    Raises:
        ModelError: The folder cannot be read, or one of the files is a link that leaves it.
    """
    top = Path(os.path.realpath(folder))
    # In the hub's cache each file of a snapshot is a link to a file in "blobs": of its repository, or since version 2
    # of huggingface_hub of the whole cache. No other target is allowed.
    repository = top.parent.parent
    cached = top.parent.name == "snapshots"
    roots = [top, *([repository / "blobs", repository.parent / "blobs"] if cached else [])]
    try:
        names = select(_names(top))
    except OSError as error:
        raise ModelError(
            f"The model folder '{folder}' cannot be read: {error.strerror}.",
            "Give the path of an existing folder that you may read.",
        ) from error
    for name in names:
        _check_inside(top / name, roots)
    return [Path(name) for name in names]


def check_pointers(folder: Path, names: Iterable[Path]) -> None:
    """Raise ModelError if files that are read are git's pointers to files that were not fetched."""
    small = [name for name in names if name.suffix in _READ and (folder / name).stat().st_size < 1024]
    pointers = [str(name) for name in small if (folder / name).read_bytes().startswith(_POINTER)]
    if pointers:
        problem = f"In '{folder}' git has left pointers in place of files: {', '.join(pointers)}."
        raise ModelError(problem, "Run `git lfs pull` there, or download the model with `hf download`.")


def fingerprint(folder: Path) -> str:
    """Return a hash of the model's files; equal files in another folder have the same one.

    Args:
        folder: A model folder. Its files are hashed again only after one has changed its size or time.

    Returns:
        32 hexadecimal digits, from the names and bytes of `model_files`.

    Raises:
        ModelError: See `model_files`.
    """
    top = os.path.realpath(folder)
    names = model_files(folder)
    stats = [(name.as_posix(), Path(top, name).stat()) for name in names]
    state = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
    known = _digests.get(top)
    if known is None or known[0] != state:
        total = hashlib.sha256()
        for name, size, _ in state:
            total.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
            total.update(_sha256(Path(top, name)))
        known = _digests[top] = (state, total.hexdigest()[:32])
    return known[1]


def _names(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield the relative names of all files below a folder."""
    with os.scandir(folder) as listing:
        entries = list(listing)
    for entry in entries:
        if not entry.is_dir():
            yield prefix + entry.name
        elif not entry.name.startswith(".") and entry.name not in _OTHER_FOLDERS:
            if entry.is_symlink():  # linked folders could form cycles, and no tool that saves models writes them
                raise ModelError(f"The model's folder '{entry.path}' is a link.", _UNLINK)
            yield from _names(Path(entry.path), f"{prefix}{entry.name}/")


def _check_inside(path: Path, roots: list[Path]) -> None:
    """Raise ModelError if a path of the model is a link that leaves the folder, or is not a file."""
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(root) for root in roots):
        raise ModelError(f"The model's '{path}' is a link to '{real}', outside the model folder.", _UNLINK)
    if not real.is_file():
        raise ModelError(f"The model's '{path}' is not a file.", "Download or copy the model again.")


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()

"""How a shipped model arrives on a node: once, whole, under its content key, however many workers want it."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from st_spark.embedding.send_model import Shipment
from st_spark.errors import ModelError
from st_spark.model.checkpoint import checkpoint, hub

_READ_BYTES = 16 * 1024 * 1024


def arrive(shipment: Shipment) -> Path:
    """Runs on a worker: the folder with the model's files on this node.

    Raises:
        ModelError: The folder is not there, or its content is not what the driver sent.
    """
    if shipment.way == "path":
        folder = Path(shipment.name)
        if not folder.is_dir():
            raise ModelError(
                f"This node has no model folder {shipment.name!r}.",
                "put the model there on every node, or leave shipping='auto', which sends it",
            )
        return folder
    if shipment.way == "hub":
        folder = hub.resolve(shipment.name, shipment.revision).folder
        return _verified(folder, shipment)
    return unpack(shipment, scratch() / "st-spark-models")


def unpack(shipment: Shipment, home: Path) -> Path:
    """Writes the files of a shipment under `home`, unless they are there; safe against others that do the same."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = home / shipment.fingerprint
    if folder.is_dir():
        return folder
    with FileLock(home / f"{shipment.fingerprint}.lock"):
        if folder.is_dir():  # another worker of this node was first
            return folder
        partial = Path(tempfile.mkdtemp(prefix=f"{shipment.fingerprint}-", dir=home))
        try:
            write_files(partial, shipment.files, _pieces(shipment))
            _verified(partial, shipment)
            partial.rename(folder)  # whole or not at all: a killed worker leaves no half model under this name
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def write_files(folder: Path, files: tuple[tuple[str, int], ...], pieces: Iterator[Any]) -> None:
    """Cuts a stream of bytes into files of the given names and sizes; where it ends early, so do the files."""
    rest = memoryview(b"")
    for name, size in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            missing = size
            while missing and (rest or (rest := memoryview(next(pieces, b"")))):
                written = file.write(rest[:missing])
                rest, missing = rest[written:], missing - written


def scratch() -> Path:
    """A folder of this application on this node, which Spark or its cluster manager removes.

    Spark names the folders of an executor's block manager in SPARK_LOCAL_DIRS. On a cluster the folder around them
    belongs to the application and serves all its executors on the node; elsewhere it may be /tmp itself, which is
    nobody's: then each executor keeps its own copy.
    """
    blocks = os.environ.get("SPARK_LOCAL_DIRS")
    if not blocks:
        return Path(tempfile.gettempdir(), f"st-spark-{os.getuid()}")
    folder = min(map(Path, blocks.split(",")))
    around = folder.parent.stat()
    private = around.st_uid == os.getuid() and not around.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder.parent if private else folder


def _pieces(shipment: Shipment) -> Iterator[Any]:
    """The stream of a shipment's bytes."""
    for piece in shipment.pieces:
        if shipment.way == "broadcast":
            yield piece.value
            if hasattr(piece, "_path"):  # it can be read again, so the worker need not hold a copy for good
                vars(piece).pop("_value", None)
        else:
            from pyspark import SparkFiles

            with Path(SparkFiles.getRootDirectory(), piece).open("rb") as file:
                while block := file.read(_READ_BYTES):
                    yield block


def _verified(folder: Path, shipment: Shipment) -> Path:
    """The folder, if its content is what the driver saw."""
    found = checkpoint.fingerprint(folder)
    if found != shipment.fingerprint:
        raise ModelError(
            f"The model {shipment.name!r} arrived on this node with the content key {found}, "
            f"but the driver has {shipment.fingerprint}.",
            "do not change a model's files while a job uses them; run the job again",
        )
    return folder

"""Receive a model on a node: its files are written once, whatever the number of workers that need them."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from filelock import FileLock

from st_spark.embedding.send_model import ModelBundle
from st_spark.errors import ModelError
from st_spark.model.checkpoint import checkpoint, hub


def receive(bundle: ModelBundle) -> Path:
    """Return the folder with the model's files on this node; ModelError if it is missing or its files differ."""
    if bundle.transport == "path":
        folder = Path(str(bundle.folder))
        if not folder.is_dir():
            raise ModelError(
                f"This node has no model folder {bundle.folder!r}.",
                "put the model there on every node, or leave shipping='auto', which sends it",
            )
        return folder
    if bundle.transport == "hub":
        return _verified(hub.resolve(bundle.name, bundle.revision).folder, bundle)
    return unpack(bundle, scratch() / "st-spark-models")


def unpack(bundle: ModelBundle, home: Path) -> Path:
    """Write the files of a bundle to a folder under `home`, unless it exists. Several processes may do so at once."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = home / bundle.fingerprint
    if folder.is_dir():
        return folder
    with FileLock(home / f"{bundle.fingerprint}.lock"):
        if folder.is_dir():  # another worker of this node was first
            return folder
        partial = Path(tempfile.mkdtemp(prefix=f"{bundle.fingerprint}-", dir=home))
        try:
            write_files(partial, bundle)
            _verified(partial, bundle)
            partial.rename(folder)  # atomic: a killed worker leaves no partial model under this name
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def write_files(folder: Path, bundle: ModelBundle) -> None:
    """Write the pieces of a bundle to files in a folder."""
    for name, piece in bundle.pieces:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if bundle.transport == "artifact":
            from pyspark import SparkFiles

            shutil.copyfile(Path(SparkFiles.getRootDirectory(), piece), path)
            continue
        with path.open("ab") as file:
            file.write(piece.value)
        if hasattr(piece, "_path"):  # Spark can read it again from there, so the worker need not keep a copy
            piece.__dict__.pop("_value", None)


def scratch() -> Path:
    """Return a folder on this node that Spark or its cluster manager deletes after the application.

    SPARK_LOCAL_DIRS names the folders of one executor. On a cluster their parent folder belongs to the application, so
    all its executors on the node can share it. Elsewhere the parent may be /tmp itself; then each executor keeps its
    own copy.
    """
    blocks = os.environ.get("SPARK_LOCAL_DIRS")
    if not blocks:
        return Path(tempfile.gettempdir(), f"st-spark-{os.getuid()}")
    folder = min(map(Path, blocks.split(",")))
    parent = folder.parent.stat()
    private = parent.st_uid == os.getuid() and not parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder.parent if private else folder


def _verified(folder: Path, bundle: ModelBundle) -> Path:
    """Return the folder; ModelError if its files differ from the driver's."""
    fingerprint = checkpoint.fingerprint(folder)
    if fingerprint != bundle.fingerprint:
        raise ModelError(
            f"The files of the model {bundle.name!r} have the hash {fingerprint} on this node, but "
            f"{bundle.fingerprint} on the driver.",
            "do not change a model's files while a job uses them; run the job again",
        )
    return folder

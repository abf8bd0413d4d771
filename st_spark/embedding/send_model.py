"""Send a model from the driver to the executors: once for each session and content."""

import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.choices import TRANSPORTS
from st_spark.errors import InputError, check_choice
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.spark.cluster import is_connect, use_this_python

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Far below the 2 GiB limit of a Java array, and small compared with the memory of an executor.
CHUNK_BYTES = 256 * 1024 * 1024

Pieces = tuple[tuple[str, Any], ...]
# The pieces sent so far, by application (or Connect session) and hash of the files. A notebook calls encode() in each
# cell, a streaming query for each micro-batch.
_sent: dict[str, dict[str, Pieces]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class ModelBundle:
    """A model as Spark sends it to the executors.

    Attributes:
        transport: "path", "hub", "broadcast" or "artifact".
        fingerprint: The hash of the model's files.
        name: The model's name on the hub, else the name as given. INSTRUCTOR models are recognised by it.
        revision: The commit on the hub, for "hub".
        pieces: The files: relative name, and a broadcast variable or the name of an artifact. A large file has several
            pieces, one after another.
        folder: The folder, for "path".
    """

    transport: str
    fingerprint: str
    name: str
    revision: str | None = None
    pieces: Pieces = ()
    folder: str | None = None


def send(session: "SparkSession", snapshot: hub.Snapshot, transport: str = "auto") -> ModelBundle:
    """Make a model available to the executors of a session. A model that they have is not sent again.

    Args:
        session: A classic or a Connect session.
        snapshot: The model on the driver.
        transport: "broadcast" (classic) and "artifact" (Connect) send the files. With "path" every node reads the
            folder under the same path. With "hub" each node downloads the same revision. "auto" is "path" on a local
            master, else "broadcast" or "artifact".

    Raises:
        InputError: The transport is unknown, or does not suit the session or the model.
        ModelError: The model cannot be used; see check.check.
    """
    from st_spark.model import check  # loads torch, which `import st_spark` must not do

    check.check(snapshot.folder)
    use_this_python(session)
    connect = is_connect(session)
    transport = _resolved(transport, session, connect)
    fingerprint = checkpoint.fingerprint(snapshot.folder)
    if transport == "path":
        return ModelBundle("path", fingerprint, snapshot.name, folder=os.fspath(snapshot.folder.absolute()))
    if transport == "hub":
        if snapshot.revision is None:
            raise InputError(
                f"shipping='hub' cannot send the model {snapshot.name!r}: it does not come from the hub.",
                "give a model of the hub, or leave shipping='auto'",
            )
        return ModelBundle("hub", fingerprint, snapshot.name, snapshot.revision)
    with _lock:
        sent = _sent_in(session, connect)
        if fingerprint not in sent:
            upload = _upload if connect else _broadcast
            sent[fingerprint] = upload(session, snapshot.folder, fingerprint)
        return ModelBundle(transport, fingerprint, snapshot.name, snapshot.revision, sent[fingerprint])


def _resolved(transport: str, session: "SparkSession", connect: bool) -> str:
    """Return the transport that "auto" means in this session; check that the session has it."""
    check_choice("shipping", transport, TRANSPORTS)
    if transport == "auto":
        if connect:
            return "artifact"
        master = str(session.sparkContext.master)
        # local-cluster has executors of its own, like a real cluster
        return "path" if master.startswith("local") and not master.startswith("local-cluster") else "broadcast"
    if transport == ("broadcast" if connect else "artifact"):
        kind, other = ("Spark Connect", "artifact") if connect else ("a classic Spark session", "broadcast")
        raise InputError(f"shipping={transport!r} does not work with {kind}.", f"use shipping={other!r} or 'auto'")
    return transport


def _sent_in(session: "SparkSession", connect: bool) -> dict[str, Pieces]:
    """Return the pieces that the executors of this session have, by the hash of the model's files."""
    if connect:
        return _sent.setdefault(session.session_id, {})  # type: ignore[attr-defined]  # only Connect's has it
    application = session.sparkContext.applicationId
    if application not in _sent:  # a process has one SparkContext at a time; broadcasts of earlier ones are gone
        _sent.clear()
    return _sent.setdefault(application, {})


def _broadcast(session: "SparkSession", folder: Path, _fingerprint: str) -> Pieces:
    """Send the files of a model as broadcast variables."""
    return tuple((name, session.sparkContext.broadcast(chunk)) for name, chunk in read_chunks(folder, CHUNK_BYTES))


def _upload(session: "SparkSession", folder: Path, fingerprint: str) -> Pieces:
    """Send the files of a model as artifacts of a Connect session. Artifacts have no folders, so they get numbers."""
    names = checkpoint.model_files(folder)
    with tempfile.TemporaryDirectory() as links:
        artifacts = [Path(links, f"st-spark-{fingerprint}-{number}") for number in range(len(names))]
        for artifact, name in zip(artifacts, names, strict=True):
            artifact.symlink_to((folder / name).absolute())
        session.addArtifacts(*map(os.fspath, artifacts), file=True)
    return tuple((name.as_posix(), artifact.name) for name, artifact in zip(names, artifacts, strict=True))


def read_chunks(folder: Path, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a model in chunks of at most `size` bytes: relative name and bytes."""
    for name in checkpoint.model_files(folder):
        with (folder / name).open("rb") as file:
            chunk = file.read(size)
            yield name.as_posix(), chunk  # also of an empty file
            while chunk := file.read(size):
                yield name.as_posix(), chunk

"""How a model reaches the executors: decided on the driver, sent once per session and content, loaded only there."""

import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.choices import TRANSPORTS
from st_spark.errors import InputError
from st_spark.model.checkpoint import checkpoint, hub

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Far below the 2 GiB of a Java array, and small beside the memory that an executor leaves to Python.
CHUNK_BYTES = 256 * 1024 * 1024
_READ_BYTES = 16 * 1024 * 1024

# What was sent already, by application (or Connect session) and content key: encode() is called again in each cell
# of a notebook and for each micro-batch.
_sent: dict[str, dict[str, tuple[Any, ...]]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Shipment:
    """One model on its way to the executors.

    Attributes:
        way: "path", "hub", "broadcast" or "artifact".
        fingerprint: The content key of the model.
        name: The folder for "path", the hub's name for "hub"; for messages otherwise.
        revision: The commit on the hub, for "hub".
        files: Relative names and sizes in bytes, in the order of the stream that `pieces` make together.
        pieces: Broadcast variables, or names of artifacts.
    """

    way: str
    fingerprint: str
    name: str
    revision: str | None = None
    files: tuple[tuple[str, int], ...] = ()
    pieces: tuple[Any, ...] = ()


def ship(session: "SparkSession", snapshot: hub.Snapshot, way: str = "auto") -> Shipment:
    """Makes a model available to the executors of a session; what was sent before is not sent again.

    Args:
        session: A classic or a Connect session.
        snapshot: The model on the driver.
        way: "broadcast" (classic) and "artifact" (Connect) send the files. "path" means that every node sees the
            folder under the same path. "hub" means that each node downloads the same revision itself.
            "auto" is the path where driver and executors are one machine's one process (master local), else the
            first two.

    Raises:
        InputError: The way is unknown, or does not fit the session or the model.
    """
    connect = type(session).__module__.startswith("pyspark.sql.connect")
    way = _resolved(way, session, connect)
    fingerprint = checkpoint.fingerprint(snapshot.folder)
    if way == "path":
        return Shipment("path", fingerprint, os.fspath(snapshot.folder.absolute()))
    if way == "hub":
        if snapshot.revision is None:
            raise InputError(
                f"shipping='hub', but the model {snapshot.name!r} does not come from the hub.",
                "give a model of the hub, or leave shipping='auto'",
            )
        return Shipment("hub", fingerprint, snapshot.name, snapshot.revision)
    names = checkpoint.model_files(snapshot.folder)
    files = tuple((name.as_posix(), (snapshot.folder / name).stat().st_size) for name in names)
    with _lock:
        sent = _sent_in(session, connect)
        if fingerprint not in sent:
            paths = [snapshot.folder / name for name in names]
            sent[fingerprint] = _upload(session, fingerprint, paths) if connect else _broadcast(session, paths)
        return Shipment(way, fingerprint, snapshot.name, snapshot.revision, files, sent[fingerprint])


def _resolved(way: str, session: "SparkSession", connect: bool) -> str:
    """What "auto" means in this session, and whether it can do what was asked for."""
    if way not in TRANSPORTS:
        raise InputError(f"shipping={way!r} is unknown.", f"choose one of {', '.join(TRANSPORTS)}")
    if way == "auto":
        if connect:
            return "artifact"
        master = str(session.sparkContext.master)
        # local-cluster has executors of its own, as a real cluster has
        return "path" if master.startswith("local") and not master.startswith("local-cluster") else "broadcast"
    if way == ("broadcast" if connect else "artifact"):
        kind, other = ("Spark Connect", "artifact") if connect else ("a classic Spark session", "broadcast")
        raise InputError(f"shipping={way!r} does not work with {kind}.", f"use shipping={other!r} or 'auto'")
    return way


def _sent_in(session: "SparkSession", connect: bool) -> dict[str, tuple[Any, ...]]:
    """What this session's executors have already."""
    if connect:
        return _sent.setdefault(session.session_id, {})  # type: ignore[attr-defined]  # only Connect's has it
    application = session.sparkContext.applicationId
    if application not in _sent:  # a process has one SparkContext at a time: what others broadcast is gone with them
        _sent.clear()
    return _sent.setdefault(application, {})


def _broadcast(session: "SparkSession", paths: list[Path]) -> tuple[Any, ...]:
    """The files, one after another, as broadcast variables of at most CHUNK_BYTES."""
    return tuple(session.sparkContext.broadcast(chunk) for chunk in read_chunks(paths, CHUNK_BYTES))


def _upload(session: "SparkSession", fingerprint: str, paths: list[Path]) -> tuple[str, ...]:
    """The files as artifacts of a Connect session; artifacts lie flat, so the content key and a number name them."""
    names = tuple(f"st-spark-{fingerprint}-{number}" for number in range(len(paths)))
    with tempfile.TemporaryDirectory() as folder:
        links = [Path(folder, name) for name in names]
        for link, path in zip(links, paths, strict=True):
            link.symlink_to(path.absolute())
        session.addArtifacts(*map(os.fspath, links), file=True)
    return names


def read_chunks(paths: list[Path], size: int) -> Iterator[bytearray]:
    """The bytes of the files, one after another, in chunks of `size` (the last one may be smaller)."""
    chunk = bytearray()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(min(_READ_BYTES, size - len(chunk))):
                chunk += block
                if len(chunk) == size:
                    yield chunk
                    chunk = bytearray()
    if chunk:
        yield chunk

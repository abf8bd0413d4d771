"""Let one job at a time write a table. A lock names its owner, and ends by itself if the owner is dead.

The owner refreshes its lock as long as its process lives. If the process was killed, the next job takes the lock over: at
once on the same machine, else when the lock has not been refreshed for STALE_SECONDS.
"""

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from st_spark.errors import BusyError, StSparkError, TableError

BEAT_SECONDS = 20.0
STALE_SECONDS = 300.0
_log = logging.getLogger(__name__)


class LockPlace(Protocol):
    """Where the lock of a table is kept: a file beside a folder, or a table beside a catalog table."""

    def create_lock(self, text: str) -> bool:
        """Create the lock; False if there is one. Of two processes only one succeeds."""

    def read_lock(self) -> tuple[str, float] | None:
        """Return the text of the lock and the seconds since its last refresh; None if there is no lock."""

    def refresh_lock(self, text: str) -> None:
        """Set the time of the last refresh to now."""

    def remove_lock(self, text: str) -> None:
        """Remove the lock if it has this text."""

    def recover(self) -> None:
        """Clean up what a failed run has left."""


class Lock:
    """The lock of a table, held by this job."""

    def __init__(self, place: LockPlace, where: str, run: str, application: str) -> None:
        self._place, self._where = place, where
        started = datetime.now(UTC).isoformat(timespec="seconds")
        owner = {"run": run, "machine": _machine(), "pid": os.getpid(), "application": application, "started": started}
        self._text = json.dumps(owner)

    def acquire(self) -> None:
        """Take the lock. BusyError if another job holds it."""
        for _ in range(3):  # the lock of another job can end, or be taken over by a third one
            if self._create():
                return
            held = self._place.read_lock()
            if held is None:
                continue
            if held[1] < STALE_SECONDS and not _is_dead(_owner(held[0])):
                break
            _log.info("Taking over the lock of a job that was killed while it wrote %s", self._where)
            self._place.remove_lock(held[0])
        raise _busy(self._where, _owner(held[0]) if held else {})

    def _create(self) -> bool:
        try:
            return self._place.create_lock(self._text)
        except StSparkError:
            raise
        except Exception as error:
            raise not_writable(self._where, error) from error

    def check(self) -> None:
        """Check that this job still holds the lock. BusyError if another job has taken it over."""
        held = self._place.read_lock()
        if held is None or held[0] != self._text:
            raise BusyError(
                f"This job has lost its lock on {self._where}: it did not refresh it for {STALE_SECONDS / 60:.0f} minutes.",
                "run it again. The table is unchanged.",
            )

    def release(self) -> None:
        """Remove the lock."""
        self._place.remove_lock(self._text)

    @contextmanager
    def refreshed(self) -> Iterator[None]:
        """Refresh the lock inside `with`, in a thread."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(BEAT_SECONDS):
                with suppress(Exception):  # the next beat tries again; check() finds a lock that is lost
                    self.check()
                    self._place.refresh_lock(self._text)

        thread = threading.Thread(target=beat, name="st-spark-lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def locked(place: LockPlace, where: str, run: str, application: str) -> Iterator[Lock]:
    """Hold the lock of a table inside `with`, and clean up before it and after a failure.

    Args:
        place: Where the lock is.
        where: The name of the table, for errors.
        run: The id of this run.
        application: The name of this application, for the error of another job.
    """
    lock = Lock(place, where, run, application)
    lock.acquire()
    try:
        place.recover()
        with lock.refreshed():
            yield lock
    except BaseException:
        with suppress(Exception):  # the next run cleans up what is left now
            lock.check()
            place.recover()
        raise
    finally:
        with suppress(Exception):
            lock.release()


def not_writable(where: str, error: Exception) -> TableError:
    """Return the error of a place that cannot be written."""
    return TableError(f"Cannot write {where}: {_reason(error)}.", "name an output that you may write.")


def _reason(error: Exception) -> str:
    """Return the first line of an error; of an error in the JVM its cause."""
    text = str(getattr(error, "java_exception", None) or error) or type(error).__name__
    return text.splitlines()[0][:300].rstrip(".")


def _busy(where: str, owner: dict[str, Any]) -> BusyError:
    who = (
        f"application {owner['application']}, process {owner['pid']} on {owner['machine'].split()[0]}, since "
        f"{owner['started']}"
        if owner
        else "its name cannot be read"
    )
    minutes = f"{STALE_SECONDS / 60:.0f} minutes"
    return BusyError(
        f"Another job writes {where}: {who}.",
        f"run this job again when that one has ended. If it was killed, its lock ends within {minutes}.",
    )


def _owner(text: str) -> dict[str, Any]:
    """Return what a lock says of its owner; {} for a lock that is not written completely."""
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}


def _is_dead(owner: dict[str, Any]) -> bool:
    """Return whether the owner was a process of this machine that has ended."""
    if not owner or owner["machine"] != _machine():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    """Return the name of this machine. Containers can have one name, but not one namespace of processes."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {os.readlink(namespace) if namespace.is_symlink() else ''}"

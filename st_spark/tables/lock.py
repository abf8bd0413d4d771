"""Let one job at a time write a table. A lock names its owner, and ends by itself if the owner is dead.

The owner refreshes its lock as long as its process lives. If the process is killed, the next job takes the lock over:
at once on the same machine, on another one when the lock was not refreshed for STALE_SECONDS.
"""

import json
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from st_spark.errors import BusyError, PlatformError, StSparkError, TableError
from st_spark.spark.background import repeated

BEAT_SECONDS = 20.0
STALE_SECONDS = 300.0
_MINUTES = f"{STALE_SECONDS / 60:.0f} minutes"
LOCK, _GUARD = "lock", "guard"
# Faults of a storage that pass.
_PASSING = re.compile(
    r"SlowDown|[Tt]hrottl|[Tt]imed? ?out|Connection (reset|refused)|TTransport|SafeMode|StandbyException|\b50[0234]\b"
)
_log = logging.getLogger(__name__)


class LockPlace(Protocol):
    """Where the locks of a table are kept: files beside a folder, or tables beside a catalog table."""

    def create(self, lock: str, text: str) -> bool:
        """Create a lock; False if there is one. Of two processes only one succeeds."""

    def read(self, lock: str) -> tuple[str, float] | None:
        """Return the text of a lock and the seconds since its last refresh; None if there is no lock."""

    def refresh(self, lock: str, text: str) -> None:
        """Set the time of the last refresh to now."""

    def remove(self, lock: str) -> None:
        """Remove a lock."""

    def recover(self) -> object:
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
            held = self._place.read(LOCK)
            if held and not _is_dead(*held):
                break
            if held:
                self._remove_dead(held[0])
        raise _busy(self._where, _owner(held[0]) if held else {})

    def _create(self) -> bool:
        try:
            return self._place.create(LOCK, self._text)
        except Exception as error:
            raise not_writable(self._where, error) from error

    def _remove_dead(self, text: str) -> None:
        """Remove the lock of a dead job. A second lock guards this, so that nobody removes the lock of the next job."""
        guard = self._place.read(_GUARD)
        if guard and _is_dead(*guard):
            self._place.remove(_GUARD)
        if not self._place.create(_GUARD, self._text):
            return
        try:
            held = self._place.read(LOCK)
            if held and held[0] == text:
                _log.info("Taking over the lock of a job that was killed while it wrote %s", self._where)
                self._place.remove(LOCK)
        finally:
            self._place.remove(_GUARD)

    def check(self) -> None:
        """Check that this job still holds the lock. BusyError if another job has taken it over."""
        held = self._place.read(LOCK)
        if held is None or held[0] != self._text:
            raise BusyError(
                f"Another job has taken over the lock of {self._where}: this one did not refresh it for {_MINUTES}.",
                "run this job again. It has not changed the table.",
            )

    def release(self) -> None:
        """Remove the lock, unless another job has taken it over."""
        self.check()
        self._place.remove(LOCK)

    @contextmanager
    def refreshed(self) -> Iterator[None]:
        """Refresh the lock inside `with`, in a thread."""

        def beat() -> None:
            with suppress(Exception):  # the next beat tries again; check() finds a lock that is lost
                self.check()
                self._place.refresh(LOCK, self._text)

        with repeated(beat, BEAT_SECONDS, "st-spark-lock"):
            yield


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


def is_held(place: LockPlace) -> bool:
    """Return whether a running job holds the lock."""
    held = place.read(LOCK)
    return held is not None and not _is_dead(*held)


def not_writable(where: str, error: Exception) -> StSparkError:
    """Return the error of a place that cannot be written, or not now."""
    problem = f"Cannot write {where}: {_reason(error)}."
    if _PASSING.search(str(error)):
        return PlatformError(problem, "run the job again.")
    return TableError(problem, "name an output that you may write.")


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
    return BusyError(
        f"Another job writes {where}: {who}.",
        f"run this job again when that one has ended. If it was killed, its lock ends within {_MINUTES}.",
    )


def _owner(text: str) -> dict[str, Any]:
    """Return what a lock says of its owner; {} for a lock that is not written completely."""
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}


def _is_dead(text: str, age: float) -> bool:
    """Return whether the owner of a lock has ended, or did not refresh it for too long."""
    owner = _owner(text)
    if age >= STALE_SECONDS or owner.get("machine") != _machine():
        return age >= STALE_SECONDS
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    """Return the name of this machine, of its start, and of its processes: machines and containers can share names."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    start = boot.read_text(encoding="utf-8").strip() if boot.is_file() else ""
    return f"{socket.gethostname()} {start} {namespace.readlink() if namespace.is_symlink() else ''}"

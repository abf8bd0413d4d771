"""Locks: one job at a time writes a table, and the lock of a dead job is taken over."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from st_spark.errors import BusyError, PlatformError, TableError
from st_spark.spark.filesystem import ArrowFiles
from st_spark.tables import lock as locks
from st_spark.tables.atomic_write import Folder
from st_spark.tables.lock import Lock, locked


def place(tmp_path: Path, run: str) -> Folder:
    return Folder(ArrowFiles(), str(tmp_path / "t"), run)


def lock(tmp_path: Path, run: str) -> Lock:
    return Lock(place(tmp_path, run), "t", run, "app-1")


def lock_file(tmp_path: Path) -> Path:
    return tmp_path / ".t.st-spark-lock"


def test_a_second_job_gets_an_error_that_names_the_first(tmp_path: Path) -> None:
    message = rf"Another job writes t: application app-1, process {os.getpid()} on "
    with locked(place(tmp_path, "a"), "t", "a", "app-1"), pytest.raises(BusyError, match=message):
        lock(tmp_path, "b").acquire()
    lock(tmp_path, "b").acquire()


def test_of_many_jobs_at_once_only_one_gets_the_lock(tmp_path: Path) -> None:
    """Also if all of them find the lock of a dead job."""
    lock(tmp_path, "dead").acquire()
    os.utime(lock_file(tmp_path), (0, 0))
    barrier, won = threading.Barrier(8), []

    def take(run: str) -> None:
        mine = lock(tmp_path, run)
        barrier.wait()
        try:
            mine.acquire()
            mine.check()
        except BusyError:
            return
        won.append(run)

    threads = [threading.Thread(target=take, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("change", "age", "taken"),
    [
        ({}, 0, False),
        ({}, 301, True),
        ({"pid": "dead"}, 0, True),
        ({"pid": "dead", "machine": "another one"}, 0, False),
        ({"pid": "dead", "machine": "another one"}, 301, True),
        (None, 0, False),  # a lock whose owner has not written it completely
        (None, 301, True),
    ],
)
def test_the_lock_of_a_dead_job_is_taken_over(
    tmp_path: Path, change: dict[str, object] | None, age: int, taken: bool
) -> None:
    lock(tmp_path, "a").acquire()
    path = lock_file(tmp_path)
    if change and change["pid"] == "dead":
        change = {**change, "pid": dead_pid()}
    path.write_text("{" if change is None else json.dumps(json.loads(path.read_text()) | change), encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)
    second = lock(tmp_path, "b")
    if taken:
        second.acquire()
        second.check()
    else:
        with pytest.raises(BusyError):
            second.acquire()


def test_a_job_whose_lock_was_taken_over_notices_it(tmp_path: Path) -> None:
    first = lock(tmp_path, "a")
    first.acquire()
    os.utime(lock_file(tmp_path), (0, 0))
    second = lock(tmp_path, "b")
    second.acquire()
    with pytest.raises(BusyError, match="Another job has taken over the lock of t"):
        first.check()
    with pytest.raises(BusyError):
        first.release()
    second.check()


def test_a_job_that_lives_refreshes_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.01)
    mine = lock(tmp_path, "a")
    mine.acquire()
    os.utime(lock_file(tmp_path), (0, 0))
    with mine.refreshed():
        while lock_file(tmp_path).stat().st_mtime == 0:
            time.sleep(0.01)
    mine.check()


def test_a_failed_job_leaves_nothing(tmp_path: Path) -> None:
    folder = place(tmp_path, "a")

    def fail() -> None:
        with locked(folder, "t", "a", "app-1"):
            ArrowFiles().write(f"{folder.new}/part.parquet", "")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = Folder(ArrowFiles(), str(tmp_path / "file" / "t"), "a")
    with pytest.raises(TableError, match=r"Cannot write here: .*(Not a directory|File exists)"):
        Lock(folder, "here", "a", "app-1").acquire()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Permission denied", TableError),
        ("Read-only file system", TableError),
        ("503 SlowDown: reduce your request rate", PlatformError),
        ("Connection reset by peer", PlatformError),
        ("SafeModeException: name node is in safe mode", PlatformError),
    ],
)
def test_only_a_fault_that_passes_is_worth_another_try(reason: str, kind: type[Exception]) -> None:
    assert type(locks.not_writable("t", OSError(reason))) is kind


def test_two_machines_of_one_name_are_not_one() -> None:
    """The first namespace of processes has the same number on every machine."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.is_file():
        pytest.skip("this system does not number its starts")
    assert boot.read_text(encoding="utf-8").strip() in locks._machine()

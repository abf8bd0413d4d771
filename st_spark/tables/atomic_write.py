"""Write a Parquet folder so that a crash leaves the old table: stage the new files beside it, then rename.

A run keeps hidden files beside the table (docs/operations/writing_tables.md). Only the job that holds the lock touches
them, so `recover` knows that what it finds was left by a run that has failed:

- A list of files to append: the append is not complete, so these files are removed from the table.
- The state of a swap, with the partitions that it replaces, or "" for the whole table: the swap is not complete, so the
  old files are moved back. On object stores a rename moves files one by one, so old and new ones can lie in one place.
- A staging folder: it is deleted.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from st_spark.errors import BusyError, TableError
from st_spark.spark.filesystem import is_object_store
from st_spark.tables.folder_contents import is_delta, look, walk
from st_spark.tables.lock import not_writable

if TYPE_CHECKING:
    from st_spark.spark.filesystem import Files

_log = logging.getLogger(__name__)
# The states of a swap: the old table is moved away, and the new one is moved to its place.
_AWAY, _IN = "away", "in"
# An object store copies a file that is moved; it copies many at once.
_MOVES_AT_ONCE = 16


class Folder:
    """A table that is a folder of Parquet files.

    Attributes:
        path: The folder, as an absolute path.
        new: The staging folder of this run.
    """

    def __init__(self, files: "Files", where: str, run: str) -> None:
        self.files, self.path = files, files.absolute(where).rstrip("/")
        self._parent, _, self._name = self.path.rpartition("/")
        if not self._name or self._name.endswith(":") or self._parent.endswith(":/"):
            raise TableError(f"{where} cannot be a table: it is the root of a file system.", "name a folder in it.")
        self._run = run
        self.new = self._beside(f"new-{run}")
        self._old, self._moves, self._swap = self._beside("old"), self._beside("append"), self._beside("swap")

    def _beside(self, state: str) -> str:
        """Return a hidden path beside the table. Spark skips it when it reads the parent folder."""
        return f"{self._parent}/.{self._name}.st-spark-{state}"

    def recover(self) -> bool:
        """Clean up what a failed run has left. Return whether partitions were moved back."""
        files, folders = self.files, [""]
        if files.exists(self._moves):
            for name in filter(None, files.read(self._moves).split("\n")):  # "" would be the table itself
                files.delete(f"{self.path}/{name}")
            files.delete(self._moves)
        if files.exists(self._swap):
            state, *found = files.read(self._swap).split("\n")
            folders = found or folders
            if state == _IN:
                for each in folders:
                    files.delete(f"{self.path}{each}")  # a part of the new table
                self._write_swap(_AWAY, folders)
            for each in folders:
                self._move_back(each)
            files.delete(self._swap)
        self._clean(self._old)
        staged = self._beside("new").rpartition("/")[2]
        for name in files.entries(f"{self._parent}/"):
            if name.startswith(staged):
                self._clean(f"{self._parent}/{name}")
        return folders != [""]

    def _write_swap(self, state: str, folders: Sequence[str]) -> None:
        self.files.write(self._swap, "\n".join([state, *folders]))

    def _move_back(self, below: str = "") -> None:
        """Move the old table back to its place, where a part of it can still be."""
        files, source, target = self.files, self._old + below, self.path + below
        if not files.exists(source):
            return
        if not files.exists(target):
            self._move(source, target)
            return
        for name, is_folder in files.entries(source).items():
            if is_folder:
                self._move_back(f"{below}/{name}")
            elif not files.exists(f"{target}/{name}"):
                files.move(f"{source}/{name}", f"{target}/{name}")

    def check_absent(self, where: str) -> None:
        """Check that no other program has written a table here since this job began; TableError if one has."""
        found = look(self.files, self.path)
        if found.exists or found.format:
            raise TableError(f"Another program has written {where} meanwhile.", "name another --output.")

    def check_writable(self, where: str) -> None:
        """Check that this job may write into the folder; TableError if not."""
        probe = f"{self.path}/_st-spark-{self._run}"
        try:
            self.files.create(probe, "")
            self.files.delete(probe)
        except Exception as error:
            raise not_writable(where, error) from error

    def replace(self) -> None:
        """Replace the table with the staged one."""
        self._replace([""])

    def replace_partitions(self, ready: Callable[[], object] = lambda: None) -> None:
        """Replace the partitions that the staged table has; call `ready` before this is committed."""
        self._replace([f"/{each}" for each in _folders(name for name, _ in walk(self.files, self.new))], ready)
        self._clean(self.new)

    def _replace(self, folders: Sequence[str], ready: Callable[[], object] = lambda: None) -> None:
        """Replace folders below the table; "" is the table itself."""
        if not folders:  # recover() would take the state of such a swap for a swap of the whole table
            return
        files = self.files
        if files.exists(self._old):  # it would be taken for the table of this swap
            raise OSError(f"could not delete {self._old}")
        if there := [each for each in folders if files.exists(f"{self.path}{each}")]:
            self._write_swap(_AWAY, folders)
            for each in there:
                self._move(f"{self.path}{each}", f"{self._old}{each}")
        self._write_swap(_IN, folders)
        for each in folders:
            self._move(f"{self.new}{each}", f"{self.path}{each}")
        ready()
        files.delete(self._swap)  # this commits
        self._clean(self._old)

    def _move(self, source: str, target: str) -> None:
        parent = target.rpartition("/")[0]
        if parent != self._parent:
            self.files.make(parent)
        self.files.move(source, target)

    def partitions(self) -> list[str]:
        """Return the folders of the table that have files, such as day=2026-11-26."""
        return _folders(name for name, _ in walk(self.files, self.path))

    def append(self) -> None:
        """Move the staged files into the table, each into its partition. The last step, to delete the list, commits."""
        names = [name for name, is_data in walk(self.files, self.new) if is_data]
        self.files.write(f"{self.new}/_moves", "\n".join(names))
        self.files.move(f"{self.new}/_moves", self._moves)  # so that the list is complete as soon as it is there
        for folder in _folders(names):
            self.files.make(f"{self.path}/{folder}")
        with ThreadPoolExecutor(_MOVES_AT_ONCE if is_object_store(self.path) else 1) as pool:
            list(pool.map(lambda name: self.files.move(f"{self.new}/{name}", f"{self.path}/{name}"), names))
        if not self.files.exists(self._moves):
            raise BusyError(f"Another job has undone the append to {self.path}.", "run this job again.")
        self.files.delete(self._moves)
        self._clean(self.new)

    def add_first(self) -> None:
        """Move the first rows of a table into its place, file by file, as an append. _SUCCESS says that all are there.

        On an object store a rename of the folder would do the same, but copy _SUCCESS before the data.
        """
        self.append()
        self.files.write(f"{self.path}/_SUCCESS", "")

    def remove_failed_delta(self) -> None:
        """Delete what a first write of Delta has left that has failed before its commit."""
        foreign = look(self.files, self.path).foreign or self.files.exists(f"{self.path}/_SUCCESS")
        if not foreign and not is_delta(self.files, self.path):  # Delta writes no _SUCCESS
            self._clean(self.path)

    def _clean(self, path: str) -> None:
        """Delete what is not needed any more. The table is written, so the job must not fail now."""
        try:
            self.files.delete(path)
        except Exception as error:  # noqa: BLE001
            _log.warning("Could not delete %s: %s", path, error)

    def create(self, lock: str, text: str) -> bool:
        """See LockPlace."""
        return self.files.create(self._beside(lock), text)

    def read(self, lock: str) -> tuple[str, float] | None:
        """See LockPlace."""
        path = self._beside(lock)
        for _ in range(3):  # one job can remove its lock and another create its own between these lines
            with suppress(Exception):
                return self.files.read(path), self.files.age(path)
            if not self.files.exists(path):
                return None
        return "", 0.0  # a lock whose owner cannot be read

    def refresh(self, lock: str, text: str) -> None:
        """See LockPlace."""
        self.files.write(self._beside(lock), text)

    def remove(self, lock: str) -> None:
        """See LockPlace."""
        self.files.delete(self._beside(lock))


def _folders(names: Iterable[str]) -> list[str]:
    """Return the folders of the names."""
    return sorted({name.rpartition("/")[0] for name in names} - {""})

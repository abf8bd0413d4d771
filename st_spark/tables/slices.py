"""Keep the finished rows of a job beside its output until it succeeds, so that a killed job need not make them again.

docs/operations/killed_jobs.md explains it. The folder of a key holds one folder for each run, and the lock of each run.
"""

import logging
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from st_spark.spark.filesystem import files_of
from st_spark.tables.atomic_write import Folder
from st_spark.tables.io import reader_path
from st_spark.tables.lock import LOCK, is_held, locked
from st_spark.tables.names import TableName, parse_name
from st_spark.tables.writers import check_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from st_spark.spark.filesystem import Files

# With version 2 a file is in its place as soon as its task ends, not only when the whole job ends. Vectors do not
# compress, and hardly repeat. One file for each task: so a task that runs again replaces what it has written.
_OPTIONS = {
    "mapreduce.fileoutputcommitter.algorithm.version": "2",
    "compression": "none",
    "parquet.enable.dictionary": "false",
    "maxRecordsPerFile": "0",
}
_LENIENT = {"ignoreCorruptFiles": "true", "ignoreMissingFiles": "true"}
_LOCKS = re.compile(rf"\.(\w+)\.st-spark-{LOCK}")
_log = logging.getLogger(__name__)


class Slices:
    """The kept rows of all runs with one key.

    Attributes:
        home: Their folder.
    """

    def __init__(self, spark: "SparkSession", where: str, home: str) -> None:
        self._spark, self._where, self.home, self._files = spark, where, home, files_of(spark)
        self._run = uuid.uuid4().hex[:12]

    def known(self, schema: "StructType") -> "DataFrame | None":
        """Return these columns of the rows that earlier runs have kept; None if there are none."""
        places = [f"{self.home}/{run}" for run in runs(self._files, self.home)]
        paths = [reader_path(self._spark, place) for place in places if _data(self._files, place)]
        found = self._spark.read.schema(schema).options(**_LENIENT).parquet(*paths) if paths else None
        return None if found is None or found.isEmpty() else found

    def write(self, df: "DataFrame", rows: int) -> "DataFrame":
        """Write so many rows, a file for each task, and return them as they are read from there.

        All rows are in the slices of this run then, so the ones of earlier runs are deleted.
        """
        path = f"{self.home}/{self._run}"
        df.write.options(**_OPTIONS).parquet(path)
        kept = self._spark.read.schema(df.schema).parquet(reader_path(self._spark, path))
        check_rows(self._where, kept, rows)
        self._remove(lambda run: not run.endswith(f"/{self._run}"))
        return kept

    @contextmanager
    def locked(self) -> Iterator["Slices"]:
        """Show inside `with` that this run is alive. After a success delete the slices, after a failure keep them."""
        files, application = self._files, str(self._spark.conf.get("spark.app.id", None))
        try:
            with locked(Folder(files, f"{self.home}/{self._run}", self._run), self._where, self._run, application):
                yield self
        except BaseException:
            self._remove(lambda run: not _data(files, run))
            raise
        self._remove(lambda _: True)

    def _remove(self, chosen: Callable[[str], bool]) -> None:
        try:
            remove(self._files, self.home, chosen)
        except Exception as error:  # noqa: BLE001  (the table is written, so the job must not fail now)
            _log.warning("Could not delete %s: %s", self.home, error)


def homes(spark: "SparkSession", where: str, table_format: str) -> tuple[str | None, list[str]]:
    """Return how the paths of a table's folders of finished rows begin (None without a place), and those that exist."""
    files, name = files_of(spark), parse_name(where) if table_format == "table" else None
    try:
        if name is None:
            parent, _, last = files.absolute(where).rstrip("/").rpartition("/")
        else:
            schema = str(TableName(name.parts[:-1])) if len(name.parts) > 1 else spark.catalog.currentDatabase()
            parent, last = spark.catalog.getDatabase(schema).locationUri.rstrip("/"), name.parts[-1]
        found = files.entries(f"{parent}/") if files.exists(f"{parent}/") else {}
    except Exception as error:  # noqa: BLE001  (a catalog need not have folders)
        _log.info("There is no place for finished rows of %s: %s", where, str(error).partition("\n")[0])
        return None, []
    start = f".{last}.st-spark-resume-"
    return f"{parent}/{start}", [f"{parent}/{each}" for each in found if each.startswith(start)]


def runs(files: "Files", home: str) -> list[str]:
    """Return the runs that have kept something below a folder, or have a lock there."""
    entries = files.entries(home) if files.exists(home) else {}
    locks = {found[1] for name in entries if (found := _LOCKS.fullmatch(name))}
    return sorted(locks | {name for name, is_folder in entries.items() if is_folder})


def remove(files: "Files", home: str, chosen: Callable[[str], bool]) -> int:
    """Delete the folders that `chosen` chooses of runs that have ended, and `home` if no run is left.

    Returns:
        The number of runs that were deleted.
    """
    found, deleted = runs(files, home), 0
    for run in found:
        place = Folder(files, f"{home}/{run}", run)
        if chosen(place.path) and not is_held(place):
            files.delete(place.path)
            place.remove(LOCK)
            deleted += 1
    if not runs(files, home):  # look again: a run can have started meanwhile
        files.delete(home)
    return deleted


def age(files: "Files", run: str) -> float:
    """Return the seconds since a run has kept something; infinity if it has kept nothing."""
    return min((files.age(f"{run}/{name}") for name in _data(files, run)), default=float("inf"))


def _data(files: "Files", run: str) -> list[str]:
    """Return the slices of a run."""
    return [name for name in files.entries(run) if name[0] not in "._"] if files.exists(run) else []

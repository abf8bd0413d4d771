"""Write a new table beside the old one, then rename it: a crash leaves the old table.

At the next run `recover` cleans up after a crash:

- A partial new table beside the old one is deleted.
- If the old table was moved away and the new one is not in its place yet, the old one is moved back.
- If the new table is in its place and the old one is not deleted yet, it is deleted.
- If an append has moved some of its files, they are removed again, because that run has failed.

On a local disk and on HDFS a rename is atomic: readers see the old table or the new one. Between the two renames of an
overwrite they see none for a moment. An append moves its files one by one, so readers can see some of them. On object
stores a rename is a copy. If that matters, write Delta. Two jobs must not write one Parquet table at the same time.
"""

import re
from typing import TYPE_CHECKING

from st_spark.errors import TableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.spark.filesystem import Files


class Folders:
    """Tables that are folders of Parquet files."""

    def __init__(self, files: "Files") -> None:
        self.files = files
        self.exists, self.move, self.delete = files.exists, files.move, files.delete

    def beside(self, target: str, state: str) -> str:
        """Return a hidden folder beside the target. Spark skips it when it reads the parent folder."""
        parent, slash, name = target.rstrip("/").rpartition("/")
        if not name or parent.endswith(":/"):
            raise TableError(f"{target} cannot be a table: it is the root of a file system.", "name a folder in it.")
        return f"{parent}{slash}.{name}.st-spark-{state}"

    def append(self, target: str) -> None:
        """Move the new data files into the target. The id of their write is part of their names."""
        new = self.beside(target, "new")
        parts = [name for name in self.files.names(new) if name.startswith("part-")]
        for write in {_write_id(name) for name in parts}:
            self.files.make(f"{new}/_append-{write}")  # as long as this exists, recover() removes the moved files
        for name in parts:
            self.files.move(f"{new}/{name}", f"{target}/{name}")
        self.files.delete(new)

    def undo_append(self, target: str) -> None:
        """Remove the files of an unfinished append from the target."""
        new = self.beside(target, "new")
        if not self.exists(new):
            return
        writes = [name.removeprefix("_append-") for name in self.files.names(new) if name.startswith("_append-")]
        for name in self.files.names(target) if writes and self.exists(target) else ():
            if _write_id(name) in writes:
                self.files.delete(f"{target}/{name}")


class CatalogTables:
    """Tables of Spark's catalog whose format has no transactions."""

    def __init__(self, spark: "SparkSession") -> None:
        self._spark = spark

    def beside(self, target: str, state: str) -> str:
        """Return a table in the same database, with a longer name."""
        return f"{target}__st_spark_{state}"

    def exists(self, name: str) -> bool:
        """Return whether there is such a table."""
        return self._spark.catalog.tableExists(name)

    def move(self, source: str, target: str) -> None:
        """Rename a table; the target must not exist."""
        self._spark.sql(f"ALTER TABLE {source} RENAME TO {target}")

    def delete(self, name: str) -> None:
        """Delete the table if it exists."""
        self._spark.sql(f"DROP TABLE IF EXISTS {name}")


Store = Folders | CatalogTables


def recover(store: Store, target: str) -> None:
    """Clean up after a crashed run. Call it before reading or writing."""
    old = store.beside(target, "old")
    if isinstance(store, Folders):
        store.undo_append(target)
    if store.exists(old) and not store.exists(target):
        store.move(old, target)
    store.delete(old)
    store.delete(store.beside(target, "new"))


def replace(store: Store, target: str) -> None:
    """Replace the target with the new table."""
    new, old = store.beside(target, "new"), store.beside(target, "old")
    if store.exists(target):
        store.move(target, old)
    store.move(new, target)
    store.delete(old)


def _write_id(name: str) -> str:
    """Return the id of the write in a file's name, part-00000-<id>-c000.snappy.parquet; else the name itself."""
    found = re.match(r"part-\d+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", name)
    return found.group(1) if found else name

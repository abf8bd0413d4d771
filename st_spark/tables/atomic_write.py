"""Stage and swap: a table is written beside its place and moved there whole, so a crash leaves the old one.

What a crash can leave, and what `recover` makes of it at the next run:

- a half-written new table beside the old one: deleted;
- the old table moved away, the new one not yet in its place: the old one is moved back;
- the new table in its place, the old one not yet deleted: deleted;
- some files of an append already moved in: taken out again, for the run that moved them has failed.

On a local disk and on HDFS a rename is atomic: readers see the old table or the new one, save for the moment between
two renames of an overwrite, when they see none. An append moves its files one by one, and readers may see a part of
them. On object stores a rename is a copy. Where that matters, write Delta. Two jobs that write one Parquet table at
the same time are not kept apart.
"""

import re
from typing import TYPE_CHECKING, Protocol

from st_spark.errors import TableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.spark.filesystem import Files


class Store(Protocol):
    """Things with names that can be moved: folders, or tables of a catalog."""

    def beside(self, target: str, state: str) -> str:
        """The name of the new or old table that belongs to a target."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is such a table."""
        ...

    def move(self, source: str, target: str) -> None:
        """Renames; the target must not exist."""
        ...

    def delete(self, name: str) -> None:
        """Deletes the table if there is one."""
        ...


class Folders:
    """Tables that are folders of Parquet files."""

    def __init__(self, files: "Files") -> None:
        self.files = files
        self.exists, self.move, self.delete = files.exists, files.move, files.delete

    def beside(self, target: str, state: str) -> str:
        """A hidden folder beside the target: Spark skips it when it reads the parent folder."""
        parent, slash, name = target.rstrip("/").rpartition("/")
        if not name or parent.endswith(":/"):
            raise TableError(f"{target} cannot be a table: it has no name in a folder.", "name a folder below it.")
        return f"{parent}{slash}.{name}.st-spark-{state}"

    def append(self, target: str) -> None:
        """Moves the staged data files into the target; all of them carry the id of the one write that made them."""
        staged = self.beside(target, "new")
        parts = [name for name in self.files.names(staged) if name.startswith("part-")]
        for write in {_write_id(name) for name in parts}:
            self.files.make(f"{staged}/_append-{write}")  # from here on until it is deleted: take back what was moved
        for name in parts:
            self.files.move(f"{staged}/{name}", f"{target}/{name}")
        self.files.delete(staged)

    def undo_append(self, target: str) -> None:
        """Takes an unfinished append out of the target again."""
        staged = self.beside(target, "new")
        if not self.exists(staged):
            return
        writes = [name.removeprefix("_append-") for name in self.files.names(staged) if name.startswith("_append-")]
        for name in self.files.names(target) if writes and self.exists(target) else ():
            if _write_id(name) in writes:
                self.files.delete(f"{target}/{name}")


class CatalogTables:
    """Tables of Spark's own catalog whose format has no transactions."""

    def __init__(self, spark: "SparkSession") -> None:
        self._spark = spark

    def beside(self, target: str, state: str) -> str:
        """A table of the same schema with a longer name."""
        return f"{target}__st_spark_{state}"

    def exists(self, name: str) -> bool:
        """See Store."""
        return self._spark.catalog.tableExists(name)

    def move(self, source: str, target: str) -> None:
        """See Store."""
        self._spark.sql(f"ALTER TABLE {source} RENAME TO {target}")

    def delete(self, name: str) -> None:
        """See Store."""
        self._spark.sql(f"DROP TABLE IF EXISTS {name}")


def recover(store: Store, target: str) -> None:
    """Undoes what a crashed run left; call it before anything is read or written."""
    old = store.beside(target, "old")
    if isinstance(store, Folders):
        store.undo_append(target)
    if store.exists(old) and not store.exists(target):
        store.move(old, target)
    store.delete(old)
    store.delete(store.beside(target, "new"))


def replace(store: Store, target: str) -> None:
    """Puts the staged table in the target's place, whether or not there is one."""
    new, old = store.beside(target, "new"), store.beside(target, "old")
    if store.exists(target):
        store.move(target, old)
    store.move(new, target)
    store.delete(old)


def _write_id(name: str) -> str:
    """The id that Spark gives all files of one write, part-00000-<id>-c000.snappy.parquet; else the name itself."""
    found = re.match(r"part-\d+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", name)
    return found.group(1) if found else name

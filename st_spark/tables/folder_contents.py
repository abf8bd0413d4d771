"""What lies in a folder: nothing, Parquet files, a Delta table, or what a job must not touch."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from st_spark.spark.filesystem import Files

_DATA = re.compile(r"[^_.].*\.(parquet|parq|pq)")
# Files that Spark, Hive and this package put beside the data.
_NO_DATA = re.compile(
    r"_SUCCESS|_metadata|_common_metadata|_temporary|_committed_.*|_started_.*|\.?_st-spark-.*|\..*\.crc"
    r"|\..*\.st-spark-(?!old$).*|.*_\$folder\$|\.DS_Store|\.nfs\w+|_impala_insert_staging|\.hive-staging.*"
)
_COMMIT = re.compile(r"\d{20}\.(json|checkpoint.*)")


@dataclass(frozen=True)
class Contents:
    """What lies at a path.

    Attributes:
        format: "parquet" or "delta"; None if there is nothing. A Delta table without a commit is the rest of a first
            write that was killed: it has the format, and does not exist.
        exists: Whether there is a table, or something else.
        files: The Parquet files, as paths below the folder.
        foreign: Files and folders that are no part of a Parquet table.
    """

    format: str | None = None
    exists: bool = False
    files: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def layouts(self) -> set[tuple[str, ...]]:
        """The partition columns of the files: one tuple, unless files lie in folders and beside them."""
        return {tuple(unquote(part.split("=")[0]) for part in name.split("/")[:-1]) for name in self.files}

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partition columns."""
        return max(self.layouts, key=len, default=())


def look(files: "Files", path: str) -> Contents:
    """Return what lies at a path."""
    if not files.exists(path):
        return Contents()
    if not files.is_folder(path):
        return Contents(None, exists=True, foreign=("a file",))
    if files.is_folder(f"{path}/_delta_log"):
        return Contents("delta", exists=is_delta(files, path))
    found = list(walk(files, path))
    data, foreign = (tuple(name for name, is_data in found if is_data is wanted) for wanted in (True, False))
    return Contents("parquet" if data else None, bool(found), data, foreign)


def is_delta(files: "Files", path: str) -> bool:
    """Return whether there is a Delta table with a commit."""
    log = f"{path}/_delta_log"
    return files.is_folder(log) and any(_COMMIT.fullmatch(name) for name in files.entries(log))


def walk(files: "Files", path: str, below: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each name below a folder, but for _NO_DATA, and whether it is a Parquet file.

    Only folders key=value are entered. Other folders are yielded by their names.
    """
    for name, is_folder in files.entries(f"{path}/{below}" if below else path).items():
        if is_folder and "=" in name and name[0] != ".":
            yield from walk(files, path, f"{below}{name}/")
        elif not is_folder and _DATA.fullmatch(name):
            yield f"{below}{name}", True
        elif not _NO_DATA.fullmatch(name):
            yield f"{below}{name}", False

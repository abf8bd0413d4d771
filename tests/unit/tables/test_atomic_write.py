"""Atomic writes: wherever a run stops, the next run writes the same table as a run that does not stop."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from st_spark.errors import TableError
from st_spark.spark.filesystem import ArrowFiles
from st_spark.tables.atomic_write import Folders, recover, replace

OLD = "part-00000-00000000-0000-0000-0000-00000000000a-c000.snappy.parquet"
NEW = [f"part-0000{i}-00000000-0000-0000-0000-00000000000b-c000.snappy.parquet" for i in range(3)]


class StopsAt(ArrowFiles):
    """Local files on a machine that stops before its n-th change."""

    def __init__(self, changes: int) -> None:
        self.left = changes

    def _change(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def make(self, folder: str) -> None:
        """See ArrowFiles."""
        self._change()
        super().make(folder)

    def move(self, source: str, target: str) -> None:
        """See ArrowFiles."""
        self._change()
        super().move(source, target)

    def delete(self, path: str) -> None:
        """See ArrowFiles."""
        self._change()
        super().delete(path)


def write(folder: str, names: list[str]) -> None:
    Path(folder).mkdir(parents=True)
    for name in [*names, "_SUCCESS"]:
        Path(folder, name).write_text(name, encoding="utf-8")


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("part-*"))


def run(store: Folders, target: str, finish: Callable[[Folders, str], Any]) -> None:
    recover(store, target)
    write(store.beside(target, "new"), NEW)
    finish(store, target)


def append(store: Folders, target: str) -> None:
    store.append(target)


@pytest.mark.parametrize(("finish", "wanted"), [(replace, NEW), (append, [OLD, *NEW])])
@pytest.mark.parametrize("changes", range(9))
def test_a_run_that_stops_anywhere_and_runs_again_writes_the_whole_table(
    tmp_path: Path, finish: Callable[[Folders, str], Any], wanted: list[str], changes: int
) -> None:
    target = tmp_path / "table"
    write(str(target), [OLD])
    try:
        run(Folders(StopsAt(changes)), str(target), finish)
    except KeyboardInterrupt:
        run(Folders(ArrowFiles()), str(target), finish)
    else:
        assert changes >= 5, "a run has more changes than this: the machine has not stopped"
    assert parts(target) == sorted(wanted)
    assert not list(tmp_path.glob(".table.*"))


@pytest.mark.parametrize("changes", range(8))
def test_recovery_alone_gives_the_old_table_or_the_new_one(tmp_path: Path, changes: int) -> None:
    target = tmp_path / "table"
    write(str(target), [OLD])
    with suppress(KeyboardInterrupt):
        run(Folders(StopsAt(changes)), str(target), replace)
    recover(Folders(ArrowFiles()), str(target))
    assert parts(target) in ([OLD], NEW)
    assert not list(tmp_path.glob(".table.*"))


@pytest.mark.parametrize("changes", range(10))
def test_recovery_removes_a_partial_append(tmp_path: Path, changes: int) -> None:
    target = tmp_path / "table"
    write(str(target), [OLD])
    with suppress(KeyboardInterrupt):
        run(Folders(StopsAt(changes)), str(target), append)
    recover(Folders(ArrowFiles()), str(target))
    assert parts(target) in ([OLD], [OLD, *NEW])
    assert not list(tmp_path.glob(".table.*"))


def test_the_new_table_is_hidden_beside_the_target() -> None:
    store = Folders(ArrowFiles())
    assert store.beside("s3a://bucket/tables/t/", "new") == "s3a://bucket/tables/.t.st-spark-new"
    assert store.beside("t", "old") == ".t.st-spark-old"


@pytest.mark.parametrize("target", ["/", "s3a://bucket"])
def test_a_target_that_is_a_root_is_an_error(target: str) -> None:
    with pytest.raises(TableError, match="cannot be a table"):
        Folders(ArrowFiles()).beside(target, "new")

"""Atomic writes: wherever a run stops, the next run writes the same table as a run that does not stop."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from st_spark.errors import BusyError, TableError
from st_spark.spark.filesystem import ArrowFiles
from st_spark.tables.atomic_write import Folder

KEPT = ["k=1/b=3/kept.parquet", "k=3/kept.parquet"]
OLD = ["k=1/b=1/old.parquet", *KEPT]
NEW = ["k=1/b=1/a.parquet", "k=1/b=1/b.parquet", "k=2/c.parquet"]


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

    def write(self, path: str, text: str) -> None:
        """See ArrowFiles."""
        self._change()
        super().write(path, text)


def write(folder: str, names: list[str]) -> None:
    for name in [*names, "_SUCCESS"]:
        path = Path(folder.removeprefix("file:"), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def parts(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))


def run(
    files: ArrowFiles, target: Path, finish: Callable[[Folder], None], name: str, staged: list[str] | None = None
) -> None:
    folder = Folder(files, str(target), name)
    folder.recover()
    write(folder.new, NEW if staged is None else staged)
    finish(folder)


FINISHES = [
    (Folder.replace, NEW),
    (Folder.append, [*NEW, *OLD]),
    (Folder.replace_partitions, [*NEW, *KEPT]),
]


@pytest.mark.parametrize(("finish", "wanted"), FINISHES)
@pytest.mark.parametrize("changes", range(18))
def test_a_run_that_stops_anywhere_and_runs_again_writes_the_whole_table(
    tmp_path: Path, finish: Callable[[Folder], None], wanted: list[str], changes: int
) -> None:
    target = tmp_path / "table"
    write(str(target), OLD)
    try:
        run(StopsAt(changes), target, finish, "first")
    except KeyboardInterrupt:
        Folder(ArrowFiles(), str(target), "second").recover()
        if parts(target) != sorted(wanted):  # an append can be complete before its staging folder is deleted
            run(ArrowFiles(), target, finish, "second")
    else:
        assert changes >= 7, "a run has more changes than this: the machine has not stopped"
    assert parts(target) == sorted(wanted)
    assert not list(tmp_path.glob(".table.*"))


@pytest.mark.parametrize(("finish", "wanted"), FINISHES)
@pytest.mark.parametrize("changes", range(18))
def test_recovery_alone_gives_the_old_table_or_the_new_one(
    tmp_path: Path, finish: Callable[[Folder], None], wanted: list[str], changes: int
) -> None:
    target = tmp_path / "table"
    write(str(target), OLD)
    with suppress(KeyboardInterrupt):
        run(StopsAt(changes), target, finish, "first")
    Folder(ArrowFiles(), str(target), "second").recover()
    assert parts(target) in (sorted(OLD), sorted(wanted))
    assert not list(tmp_path.glob(".table.*"))


@pytest.mark.parametrize("changes", range(8))
def test_an_overwrite_of_no_partitions_that_stops_anywhere_leaves_the_table(tmp_path: Path, changes: int) -> None:
    target = tmp_path / "table"
    write(str(target), OLD)
    with suppress(KeyboardInterrupt):
        run(StopsAt(changes), target, Folder.replace_partitions, "first", [])
    Folder(ArrowFiles(), str(target), "second").recover()
    assert parts(target) == sorted(OLD)
    assert not list(tmp_path.glob(".table.*"))


def test_a_list_of_files_to_append_that_is_cut_off_removes_nothing(tmp_path: Path) -> None:
    """The list is written in the staging folder, and moved when it is complete."""
    target = tmp_path / "table"
    write(str(target), OLD)
    folder = Folder(ArrowFiles(), str(target), "first")
    write(folder.new, NEW)
    Path(folder.new.removeprefix("file:"), "_moves").write_text("k=1/a.parquet\nk=1", encoding="utf-8")
    Folder(ArrowFiles(), str(target), "second").recover()
    assert parts(target) == sorted(OLD)


@pytest.mark.parametrize("target", ["t", "./t", "x/../t", "t/", "/tmp/link"])
def test_every_spelling_of_a_path_is_one_folder(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "t")
    folder = Folder(ArrowFiles(), target.replace("/tmp", str(tmp_path)), "run")
    assert folder.path == f"file:{tmp_path}/t"
    assert folder.new == f"file:{tmp_path}/.t.st-spark-new-run"


def test_the_staging_folder_of_an_object_store_lies_beside_the_table() -> None:
    assert Folder(ArrowFiles(), "s3://bucket/tables/t/", "run").new == "s3://bucket/tables/.t.st-spark-new-run"


@pytest.mark.parametrize("target", ["/", "file:///", "s3://bucket", "s3://bucket/"])
def test_a_target_that_is_a_root_is_an_error(target: str) -> None:
    with pytest.raises(TableError, match="cannot be a table"):
        Folder(ArrowFiles(), target, "run")


class CopiesFiles(StopsAt):
    """An object store: a rename of a folder moves its files one by one, and can stop between two of them."""

    def move(self, source: str, target: str) -> None:
        """See ArrowFiles."""
        if not self.is_folder(source):
            super().move(source, target)
            return
        top = Path(source.removeprefix("file:"))
        for path in sorted(top.rglob("*")):
            if path.is_file():
                goal = Path(target.removeprefix("file:"), path.relative_to(top))
                goal.parent.mkdir(parents=True, exist_ok=True)
                super().move(str(path), str(goal))
        ArrowFiles().delete(source)


MORE_OLD = ["k=1/b=1/old2.parquet", *OLD]


@pytest.mark.parametrize(
    ("finish", "exists", "wanted"),
    [
        (Folder.replace, True, NEW),
        (Folder.replace, False, NEW),
        (Folder.replace_partitions, True, [*NEW, *KEPT]),
        (Folder.add_first, False, NEW),
    ],
)
@pytest.mark.parametrize("changes", range(22))
def test_an_overwrite_that_stops_between_two_files_gives_the_old_table_or_the_new_one(
    tmp_path: Path, finish: Callable[[Folder], None], exists: bool, wanted: list[str], changes: int
) -> None:
    target = tmp_path / "table"
    old = MORE_OLD if exists else []
    if exists:
        write(str(target), old)
    with suppress(KeyboardInterrupt):
        run(CopiesFiles(changes), target, finish, "first")
    Folder(ArrowFiles(), str(target), "second").recover()
    assert (parts(target) if target.exists() else []) in (sorted(old), sorted(wanted))
    assert not list(tmp_path.glob(".table.*"))


def test_an_undone_append_leaves_partitions_with_strange_names_alone(tmp_path: Path) -> None:
    """Python also ends a line at characters that a folder of Spark can have in its name."""
    target = tmp_path / "table"
    write(str(target), ["k=a/1.parquet"])
    folder = Folder(ArrowFiles(), str(target), "first")
    write(folder.new, ["k=a\u2028b/2.parquet"])
    stops = Folder(StopsAt(4), str(target), "first")
    with pytest.raises(KeyboardInterrupt):
        stops.append()
    Folder(ArrowFiles(), str(target), "second").recover()
    assert parts(target) == ["k=a/1.parquet"]


def test_an_append_of_no_rows_that_stops_leaves_the_table(tmp_path: Path) -> None:
    target = tmp_path / "table"
    write(str(target), OLD)
    folder = Folder(ArrowFiles(), str(target), "first")
    write(folder.new, [])
    with pytest.raises(KeyboardInterrupt):
        Folder(StopsAt(2), str(target), "first").append()
    Folder(ArrowFiles(), str(target), "second").recover()
    assert parts(target) == sorted(OLD)


def test_an_append_that_another_job_has_undone_fails(tmp_path: Path) -> None:
    target = tmp_path / "table"
    write(str(target), OLD)

    class Undone(ArrowFiles):
        """Another job undoes the append while its files move."""

        def make(self, folder: str) -> None:
            """See ArrowFiles."""
            self.delete(f"{tmp_path}/.table.st-spark-append")
            super().make(folder)

    folder = Folder(Undone(), str(target), "first")
    write(folder.new, NEW)
    with pytest.raises(BusyError, match="undone"):
        folder.append()


def test_a_table_that_another_program_has_written_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    folder = Folder(ArrowFiles(), str(tmp_path / "table"), "first")
    folder.check_absent("table")
    write(str(tmp_path / "table"), OLD)
    with pytest.raises(TableError, match="Another program has written table meanwhile"):
        folder.check_absent("table")
    folder.remove_failed_delta()
    assert parts(tmp_path / "table") == sorted(OLD)

"""The files for spark-submit: st_spark as a reproducible zip, and the script that runs it."""

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from st_airflow import package
from st_spark.errors import PlatformError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_equal_sources_give_equal_bytes(place: Path) -> None:
    first = package.build()
    content = first.package.read_bytes()
    first.package.unlink()
    assert package.build() == first
    assert first.package.read_bytes() == content


def test_existing_files_are_reused(place: Path) -> None:
    first = package.build()
    before = first.package.stat().st_mtime_ns
    assert package.build().package.stat().st_mtime_ns == before
    assert sorted(path.name for path in first.package.parent.iterdir()) == ["st_spark.zip", "submit.py"]


def test_zip_has_only_st_spark(place: Path) -> None:
    names = zipfile.ZipFile(package.build().package).namelist()
    assert {"st_spark/__init__.py", "st_spark/cli/main.py", "st_spark/model/encoder.py"} <= set(names)
    assert {name.partition("/")[0] for name in names} == {"st_spark"}


def test_script_runs_from_the_zip_without_other_packages(place: Path) -> None:
    built = package.build()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN, str(built.package), str(built.script)],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "st-spark: error: embed needs input." in done.stderr


RUN = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
sys.argv = [sys.argv[2], "embed", "--result=unwritten.json"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_folder_is_private(place: Path) -> None:
    found = package.folder()
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_folder_of_another_user_is_an_error(place: Path) -> None:
    (place / "other").mkdir()
    (place / f"st-spark-airflow-{os.getuid()}").symlink_to(place / "other")
    with pytest.raises(PlatformError, match="belongs to another user"):
        package.folder()

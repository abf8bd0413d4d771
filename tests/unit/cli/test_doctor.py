"""The doctor: what is missing is really missing here, and the line names the fix."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from st_spark.cli import doctor, main
from st_spark.errors import PlatformError
from st_spark.spark import session


def test_java_is_found_and_its_version_told() -> None:
    check = doctor.java()
    assert check.ok
    assert "version" in check.found


def test_no_java_on_the_path_names_the_install_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatformError, match=r"no java on the PATH.*Fix: .*(install|adoptium)"):
        session.check_java()


def test_a_java_home_without_java_and_a_java_that_is_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(PlatformError, match="which has no bin/java"):
        session.check_java()
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n", encoding="utf-8")
    old.chmod(0o755)
    with pytest.raises(PlatformError, match=r'version "1\.8\.0_402"; Spark needs Java 17 or 21'):
        session.check_java()


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python without a single package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    return str(folder / "bin" / "python")


def test_a_worker_python_without_packages_is_named(monkeypatch: pytest.MonkeyPatch, bare_python: str) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", bare_python)
    check = doctor.worker_python()
    assert not check.ok
    assert bare_python in check.found
    assert "pyarrow (ModuleNotFoundError" in check.found
    assert f"PYSPARK_PYTHON={sys.executable}" in check.fix


def test_a_worker_python_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/no/such/python")
    assert "/no/such/python does not run" in doctor.worker_python().found


@pytest.mark.slow
def test_this_worker_python_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    check = doctor.worker_python()
    assert check.ok, check.found


def test_the_processor_line_says_what_auto_means() -> None:
    assert doctor.processor().found.rpartition(" ")[2] in ("float32", "bfloat16")


@pytest.mark.slow
def test_a_model_that_can_be_had_and_one_that_cannot(tiny_model: Path, tmp_path: Path) -> None:
    assert "Transformer + Pooling + Normalize" in doctor.reachable(str(tiny_model), None).found
    found = {check.name: check for check in doctor.examine(str(tmp_path / "none"))}
    assert not found["model"].ok
    assert found["model"].fix


@pytest.mark.slow
def test_what_is_not_ok_gives_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bare_python: str
) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", bare_python)
    assert main.main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    odd = next(i for i, line in enumerate(lines) if line.startswith("NOT OK  worker Python"))
    assert lines[odd + 1].strip().startswith("fix: install st-spark in it")


def test_no_java_ends_a_job_with_one_line(tmp_path: Path) -> None:
    """As a process of its own: here Spark may run already."""
    environment = {key: value for key, value in os.environ.items() if key != "JAVA_HOME"} | {"PATH": str(tmp_path)}
    argv = ["embed", "--input", "in.csv", "--output", "out", "--model", "m", "--text-column", "text"]
    done = subprocess.run(
        [sys.executable, "-m", "st_spark.cli", *argv], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 2
    assert "st-spark: error: There is no java on the PATH" in done.stderr
    assert "Traceback" not in done.stderr

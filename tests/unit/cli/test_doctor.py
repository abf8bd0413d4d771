"""The doctor: each missing thing is named with its fix."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from st_spark.cli import doctor, main
from st_spark.errors import PlatformError
from st_spark.model import trial
from st_spark.spark import session
from tests.support import broken_checkpoints, checkpoints


def test_java_is_found_with_its_version() -> None:
    check = doctor.check("Java", doctor.java)
    assert check.ok
    assert "version" in check.found


def test_missing_java_names_the_install_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatformError, match=r"no java on the PATH.*Fix: .*(install|adoptium)"):
        session.check_java()


def test_wrong_java_home_and_old_java_are_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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


def test_worker_python_without_packages_is_named(monkeypatch: pytest.MonkeyPatch, bare_python: str) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", bare_python)
    check = doctor.check("worker Python", doctor.worker_python)
    assert not check.ok
    assert bare_python in check.found
    assert "pyarrow (ModuleNotFoundError" in check.found
    assert f"PYSPARK_PYTHON={sys.executable}" in check.fix


def test_missing_worker_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/no/such/python")
    assert "/no/such/python does not run" in doctor.check("worker Python", doctor.worker_python).found


@pytest.mark.slow
def test_worker_python_with_all_packages_is_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    check = doctor.check("worker Python", doctor.worker_python)
    assert check.ok, check.found


def test_processor_line_names_the_dtype_of_auto() -> None:
    assert doctor.processor().rpartition(" ")[2] in ("float32", "bfloat16")


@pytest.mark.slow
def test_model_is_described(tiny_model: Path) -> None:
    lines = {line.name: line.found for line in doctor.model_checks(str(tiny_model), None)}
    assert lines["format"] == "Transformer + Pooling + Normalize"
    assert lines["path"].startswith("packed") and lines["dimension"] == "32"
    assert "in float32" in lines["speed"] and float(lines["dtype auto"].split()[-1]) >= 0.9999


def test_model_that_loses_too_much_in_the_fast_format_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "run", lambda _: trial.Trial({"float32": 10.0, "bfloat16": 30.0}, 0.9995))
    speed, exact = doctor.trial_checks(Path("model"))
    assert speed.ok and not exact.ok and "--dtype float32" in exact.fix


def test_all_that_is_wrong_with_a_model_is_listed_with_its_fix(tmp_path: Path) -> None:
    folder = checkpoints.write_bert(tmp_path / "model")
    broken_checkpoints.without(broken_checkpoints.LAYER)(folder)
    broken_checkpoints.set_in("1_Pooling/config.json", pooling_mode="attention")(folder)
    wrong = [line for line in doctor.model_checks(str(folder), None) if not line.ok]
    assert len(wrong) == 2 and all(line.fix for line in wrong)
    assert "has no tensor" in wrong[0].found and "'attention'" in wrong[1].found


def test_model_that_is_not_there_fails_the_doctor(tmp_path: Path) -> None:
    (line,) = doctor.model_checks(str(tmp_path / "missing"), None)
    assert not line.ok and "There is no folder" in line.found and line.fix


@pytest.mark.slow
def test_failed_check_gives_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bare_python: str
) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", bare_python)
    assert main.main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = next(i for i, line in enumerate(lines) if line.startswith("NOT OK  worker Python"))
    assert lines[failed + 1].strip().startswith("fix: install st-spark in it")


@pytest.mark.slow
def test_missing_java_ends_a_job_with_a_one_line_error(tmp_path: Path, tiny_model: Path) -> None:
    """Runs in another process, because Spark may run in this one."""
    environment = {key: value for key, value in os.environ.items() if key != "JAVA_HOME"} | {"PATH": str(tmp_path)}
    argv = ["embed", "--input", "in.csv", "--output", "out", "--text-column", "text"]
    argv += ["--model", str(tiny_model)]
    done = subprocess.run(
        [sys.executable, "-m", "st_spark.cli", *argv], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 2
    assert "st-spark: error: There is no java on the PATH" in done.stderr
    assert "Traceback" not in done.stderr

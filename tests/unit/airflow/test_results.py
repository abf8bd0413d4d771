"""Result files: their folder, their names, writing and reading."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_airflow import results
from st_spark.errors import ModelError, PlatformError
from st_spark.steps import result_file as written


def test_result_is_read_by_path_and_by_url(tmp_path: Path) -> None:
    path = str(tmp_path / "r.json")
    written.write(path, {"rows": {"in": 3}})
    assert results.read(path) == results.read(f"file://{path}") == {"rows": {"in": 3}}


def test_missing_result_is_none(tmp_path: Path) -> None:
    assert results.read(str(tmp_path / "r.json")) is None
    assert results.read(f"file://{tmp_path}/r.json") is None


@pytest.mark.parametrize("content", [b"", b'{"job": "embed", "ro', b"\xff", b"[]", b"5"])
def test_half_written_result_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    assert results.read(str(path)) is None
    assert results.read(f"file://{path}") is None


@pytest.mark.parametrize("place", ["folder", "file/r.json", "nowhere://bucket/r.json"])
def test_place_that_cannot_be_reached_is_one_line_with_a_fix(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = place if "://" in place else str(tmp_path / place)
    for action in (results.prepare, results.read):
        with pytest.raises(PlatformError, match=rf"The result {path} cannot be reached: .*Fix: check the folder"):
            action(path)


def test_prepare_makes_the_folder_and_removes_an_older_result(tmp_path: Path) -> None:
    path = tmp_path / "dag" / "run" / "r.json"
    results.prepare(str(path))
    assert path.parent.is_dir()
    written.write(str(path), {})
    results.prepare(f"file://{path}")
    assert not path.exists()


def test_failure_has_its_problem_and_its_fix() -> None:
    failed = written.failure("embed", ModelError("No model.", "name one."))
    assert failed == {"job": "embed", "error": {"kind": "ModelError", "problem": "No model.", "fix": "name one."}}


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.text(max_size=20))
def test_name_is_plain_and_repeatable(keys: list[str], job: str) -> None:
    name = results.name(keys, job)
    assert name == results.name(keys, job)
    assert ":" not in name and " " not in name and name.endswith(".json")
    assert name != results.name(keys, f"{job} and more")


def test_similar_run_names_give_different_files() -> None:
    assert results.name(["dag", "a:b"], "j") != results.name(["dag", "a+b"], "j")


def test_folder_must_be_configured_for_a_remote_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert results.default_folder(remote=False).endswith("/results")
    with pytest.raises(PlatformError, match=r"results in the section \[st_spark\]"):
        results.default_folder(remote=True)
    monkeypatch.setenv("AIRFLOW__ST_SPARK__RESULTS", "s3a://warehouse/results/")
    assert results.default_folder(remote=True) == "s3a://warehouse/results"

"""Results: where they lie, what they are called, and how they are read back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_airflow import results
from st_spark.errors import ModelError, PlatformError
from st_spark.jobs import result_file as written


def test_a_result_is_read_back_by_path_and_by_address(tmp_path: Path) -> None:
    path = str(tmp_path / "r.json")
    written.write(path, {"rows": {"in": 3}})
    assert results.read(path) == results.read(f"file://{path}") == {"rows": {"in": 3}}


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert results.read(str(tmp_path / "r.json")) is None
    assert results.read(f"file://{tmp_path}/r.json") is None


def test_an_older_result_is_removed_and_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "dag" / "run" / "r.json"
    results.prepare(str(path))
    assert path.parent.is_dir()
    written.write(str(path), {})
    results.prepare(f"file://{path}")
    assert not path.exists()


def test_a_failure_says_its_problem_and_its_cure() -> None:
    told = written.failure("embed", ModelError("No model.", "name one."))
    assert told == {"job": "embed", "error": {"kind": "ModelError", "problem": "No model.", "fix": "name one."}}


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.text(max_size=20))
def test_a_name_is_plain_and_the_same_each_time(keys: list[str], job: str) -> None:
    name = results.name(keys, job)
    assert name == results.name(keys, job)
    assert ":" not in name and " " not in name and name.endswith(".json")
    assert name != results.name(keys, f"{job} and more")


def test_runs_whose_names_differ_in_signs_alone_have_results_of_their_own() -> None:
    assert results.name(["dag", "a:b"], "j") != results.name(["dag", "a+b"], "j")


def test_the_folder_can_be_configured_and_has_to_be_where_the_driver_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert results.default_folder(remote=False).endswith("/results")
    with pytest.raises(PlatformError, match=r"results in the section \[st_spark\]"):
        results.default_folder(remote=True)
    monkeypatch.setenv("AIRFLOW__ST_SPARK__RESULTS", "s3a://warehouse/results/")
    assert results.default_folder(remote=True) == "s3a://warehouse/results"

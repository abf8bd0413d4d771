"""What is checked before a job starts that has a report, and what a broken section does."""

import importlib.util
from pathlib import Path

import pytest

from st_spark.errors import InputError, PlatformError, SpecError
from st_spark.report.page import Html
from st_spark.specs.pair_jobs import DedupJob
from st_spark.steps import report


def job(path: str, table: str = "in.jsonl") -> DedupJob:
    return DedupJob(input=table, output="out", report=path)


@pytest.mark.parametrize("path", ["report", "report/", "a.html/b", "r.md", ".", "html"])
def test_a_report_is_an_html_file(path: str) -> None:
    with pytest.raises(SpecError, match=r"one HTML page.*Fix: name a file that ends in \.html: --report"):
        job(path)


def test_without_matplotlib_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PlatformError, match=r"Fix: run `pip install 'st-spark\[report\]'`"):
        report.prepare(job(str(tmp_path / "r.html")))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{tmp}/none/r.html", "There is no folder for the report"),
        ("{tmp}/folder.html", "Cannot write --report .*folder.html"),
        ("/proc/r.html", "Cannot write --report /proc/r.html"),
        ("{tmp}/table/r.html", "--report .* is in the table"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused(path: str, message: str, tmp_path: Path) -> None:
    for name in ("folder.html", "table"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=message):
        report.prepare(job(path.replace("{tmp}", str(tmp_path)), str(tmp_path / "table")))


def test_an_older_report_is_deleted_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "r.HTM").write_text("old")
    report.prepare(job(str(tmp_path / "r.HTM")))
    assert list(tmp_path.iterdir()) == []


def test_a_section_that_cannot_be_made_says_why() -> None:
    def broken() -> list[Html]:
        raise ValueError("no <such> column")

    assert "This section could not be made: no &lt;such&gt; column" in report._section("Map", broken)

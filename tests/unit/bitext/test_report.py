"""The report of a mining job, to choose the threshold by."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.bitext import report
from st_spark.bitext.report import Histogram
from st_spark.errors import PlatformError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_thresholds_are_round_and_cover_all_scores() -> None:
    assert Histogram({104: 1, 116: 2}).thresholds() == [round(1.04 + i / 100, 2) for i in range(13)]
    wide = Histogram({-200: 1, 135: 2, 400: 1})
    assert wide.thresholds() == [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    assert [wide.at_least(cut) for cut in (-2.0, -1.5, 1.35, 1.36)] == [4, 3, 3, 1]
    assert Histogram({}).thresholds() == [0.0]
    outliers = Histogram({-200: 1, **dict.fromkeys(range(100, 110), 100), 400: 1})
    assert outliers.thresholds() == [round(1 + i / 100, 2) for i in range(10)]


def test_without_matplotlib_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PlatformError, match=r"Fix: run `pip install 'st-spark\[report\]'`"):
        report.check(tmp_path / "report")


@pytest.mark.slow
def test_a_report_shows_counts_and_the_pairs_around_the_threshold(spark: "SparkSession", tmp_path: Path) -> None:
    scores = [0.5, 1.0, 1.04, 1.06, 1.07, 1.5, 9.0, float("inf")]
    rows = [(i, f"t{i}", score, f"source | {i}", f"target\n{i}") for i, score in enumerate(scores)]
    schema = "source_id long, target_id string, score double, source_text string, target_text string"
    folder = tmp_path / "new" / "report"
    report.check(folder)
    made = report.write(spark.createDataFrame(rows, schema), 1.06, "ratio", folder)
    assert made["path"] == str(folder)
    assert {cut: made["pairs_from"][cut] for cut in ("0.40", "1.00", "1.40")} == {"0.40": 8, "1.00": 7, "1.40": 3}
    assert (folder / report.FIGURE).read_bytes().startswith(b"\x89PNG")
    above, below = (folder / report.TEXT).read_text().split("## Just below it")
    assert "| 1.0700 | source \\| 4 | target 4 |" in above
    assert "| 1.0600 | source \\| 3 | target 3 |" in below
    assert "| 1.0700" not in below

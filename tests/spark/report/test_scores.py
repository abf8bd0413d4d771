"""The scores of a table of pairs: the histogram, and examples."""

from typing import TYPE_CHECKING

import pytest

from st_spark.report import scores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

IDS = ("source_id", "target_id")
SCHEMA = "source_id long, target_id string, score double"


def test_pairs_on_both_sides_of_a_threshold(spark: "SparkSession") -> None:
    values = [0.5, 1.0, 1.04, 1.06, 1.07, 1.5, 9.0, float("inf")]
    pairs = spark.createDataFrame([(i, f"t{i}", score) for i, score in enumerate(values)], SCHEMA)
    found = scores.collect(pairs, IDS, 1.06)
    counts = found.histogram.counts()
    assert {cut: counts[cut] for cut in ("0.40", "1.00", "1.40")} == {"0.40": 8, "1.00": 7, "1.40": 3}
    examples = {title: [row["score"] for row in rows] for title, rows in found.examples.items()}
    assert examples == {
        "The highest scores": values[::-1],
        "Just above the threshold, 1.06": [float("inf"), 9.0, 1.5, 1.07],
        "Just below it": [1.06, 1.04, 1.0, 0.5],
    }


@pytest.mark.parametrize(
    ("values", "width"),
    [([0.31, 0.99], 0.02), ([1.0, 1.0], 1e-6), ([-200.0, 400.0], 10.0), ([-0.00001, -0.00002], 1e-6), ([], 1e-6)],
)
def test_bars_have_a_round_width_and_all_scores(spark: "SparkSession", values: list[float], width: float) -> None:
    pairs = spark.createDataFrame([(i, "t", score) for i, score in enumerate(values)], SCHEMA)
    found = scores.collect(pairs, IDS)
    assert found.histogram.width == pytest.approx(width)
    assert sum(found.histogram.bars.values()) == len(values)
    assert [len(rows) for rows in found.examples.values()] == [len(values)] * 2

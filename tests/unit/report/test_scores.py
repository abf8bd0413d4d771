"""The histogram of a report, to choose a threshold by."""

from st_spark.report import scores
from st_spark.report.scores import Histogram


def test_thresholds_are_round_and_cover_all_scores() -> None:
    assert Histogram({104: 1, 116: 2}).thresholds() == [round(1.04 + i / 100, 2) for i in range(13)]
    wide = Histogram({-200: 1, 135: 2, 400: 1})
    assert wide.thresholds() == [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    assert [wide.at_least(cut) for cut in (-2.0, -1.5, 1.35, 1.36)] == [4, 3, 3, 1]
    assert Histogram({}).thresholds() == [0.0]
    outliers = Histogram({-200: 1, **dict.fromkeys(range(100, 110), 100), 400: 1})
    assert outliers.thresholds() == [round(1 + i / 100, 2) for i in range(10)]


def test_thresholds_are_named_with_the_digits_of_the_bars() -> None:
    assert Histogram({3: 1, 4: 2}, 0.001).counts() == {"0.003": 3, "0.004": 2}
    assert Histogram({3: 1, 4: 2}, 20.0).counts() == {"60.00": 3, "80.00": 2}


def test_without_pairs_a_section_says_so() -> None:
    assert scores.parts(Histogram({}), 0.9, "cosine score", "pairs") == ['<p class="note">There are no pairs.</p>']

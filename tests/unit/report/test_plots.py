"""The figures of a report."""

import base64
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from st_spark.report import plots

LENGTHS = np.array([3, 5, 5, 300])
POINTS = np.random.default_rng(0).normal(size=(30, 2))


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.score_plot({-1: 2, 90: 3}, 0.01, 0.9, "cosine score", "pairs"), ["threshold 0.9", "pairs"]),
        (lambda: plots.score_plot({5: 1}, 0.5, None, "dot score", "rows"), ["dot score"]),
        (lambda: plots.score_plot({5: 1}, 0.5, float("-inf"), "dot score", "rows"), ["rows"]),
        (lambda: plots.length_plot(LENGTHS, 128), ["texts are cut at 128 tokens", "tokens of a text"]),
        (lambda: plots.length_plot(np.array([0]), None), ["tokens of a text"]),
        (lambda: plots.speed_plot([(0.0, 1.0, 1500.0)], 1500.0), ["mean, writing included: 1,500 rows/s"]),
        (lambda: plots.map_plot(POINTS, np.arange(30) % 2), ["1", "2", "first axis"]),
    ],
)
def test_a_figure_is_an_svg_with_its_labels(draw: Callable[[], str], words: list[str]) -> None:
    picture = draw()
    assert picture == draw()  # the same numbers give the same file
    kind, _, content = picture.partition(",")
    assert kind == "data:image/svg+xml;base64"
    texts = ElementTree.fromstring(base64.b64decode(content)).itertext()
    assert set(words) <= {each.strip() for each in texts}


@pytest.mark.parametrize(
    ("steps", "want"),
    [
        ([], []),
        ([(0.0, 0)], []),
        ([(0.0, 0), (2.0, 10)], [(0.0, 2.0, 5.0)]),
        ([(0.0, 0), (2.0, 10), (3.0, 40)], [(0.0, 2.0, 5.0), (2.0, 3.0, 30.0)]),
        # Steps that follow each other closely are one part.
        ([(0.0, 0), (50.0, 10), (50.1, 20), (100.0, 40)], [(0.0, 50.0, 0.2), (50.0, 100.0, 0.6)]),
        # All rows were done before the action ended.
        ([(0.0, 0), (2.0, 10), (2.01, 12)], [(0.0, 2.0, 5.0), (2.0, 2.01, 200.0)]),
    ],
)
def test_rates_cover_the_time_and_all_rows(
    steps: list[tuple[float, int]], want: list[tuple[float, float, float]]
) -> None:
    found = plots.rates(steps)
    assert [number for part in found for number in part] == pytest.approx([number for part in want for number in part])
    done = steps[-1][1] if steps else 0
    assert sum((end - start) * rate for start, end, rate in found) == pytest.approx(done)


def test_there_are_at_most_forty_rates() -> None:
    steps = [(float(second), second) for second in range(1000)]
    assert len(plots.rates(steps)) <= 41

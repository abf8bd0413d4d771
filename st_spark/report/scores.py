"""What a report says of the scores of pairs: how they are distributed, and examples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.report import page, plots
from st_spark.report.page import Html

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

_SCORE = "score"
# The histogram of a mining job: width of a bar, and range. The first and the last bar also count the scores beyond.
MARGIN_BARS = (0.01, -2.0, 4.0)
_BARS = 60
# The table of thresholds has about _LINES lines, and leaves out the share _OUTLIERS of scores at each end.
_LINES, _OUTLIERS = 20, 0.002
_EXAMPLES = 12


@dataclass(frozen=True)
class Histogram:
    """The distribution of scores.

    Attributes:
        bars: Number of scores from key * width up to the next key.
        width: The width of a bar.
    """

    bars: Mapping[int, int]
    width: float = 0.01

    def at_least(self, threshold: float) -> int:
        """Count the scores of `threshold` or more; it must be a multiple of the width."""
        first = round(threshold / self.width)
        return sum(count for bar, count in self.bars.items() if bar >= first)

    def thresholds(self) -> list[float]:
        """Return about _LINES round thresholds that cover the scores, except outliers."""
        low, high = self._quantile(_OUTLIERS), self._quantile(1 - _OUTLIERS)
        step = next((size for size in (1, 2, 5, 10, 20) if (high - low) / size <= _LINES), 50)
        return [round(bar * self.width, 4) for bar in range(low // step * step, high + 1, step)]

    def counts(self) -> dict[str, int]:
        """Return for some thresholds how many scores reach them."""
        digits = max(2, -math.floor(math.log10(self.width)))
        return {f"{cut:.{digits}f}": self.at_least(cut) for cut in self.thresholds()}

    def _quantile(self, share: float) -> int:
        """Return the first bar at which the running count exceeds this share of all scores."""
        wanted, count = share * sum(self.bars.values()), 0
        for bar in sorted(self.bars):
            count += self.bars[bar]
            if count > wanted:
                return bar
        return 0


@dataclass(frozen=True)
class Scores:
    """The scores of a table of pairs, and some of its rows, by the title of their list."""

    histogram: Histogram
    examples: Mapping[str, Sequence["Row"]]


def collect(pairs: "DataFrame", ids: tuple[str, str], threshold: float | None = None) -> Scores:
    """Count the scores and take examples.

    Args:
        pairs: The pairs with their score. They are read several times.
        ids: The columns of the two ids.
        threshold: Given if the rows include pairs that do not exceed it: examples from both sides of it are taken.
    """
    score = sf.col(_SCORE)
    best, worst = (score.desc(), *ids), (score, *ids)
    if threshold is None:
        parts = {"The highest scores": pairs.orderBy(*best), "The lowest scores": pairs.orderBy(*worst)}
        bars = _bars_of(pairs)
    else:
        parts = {
            "The highest scores": pairs.orderBy(*best),
            f"Just above the threshold, {threshold:g}": pairs.where(score > threshold).orderBy(*worst),
            "Just below it": pairs.where(score <= threshold).orderBy(*best),
        }
        bars = MARGIN_BARS
    examples = {
        title: sorted(rows.limit(_EXAMPLES).collect(), key=lambda row: -row[_SCORE]) for title, rows in parts.items()
    }
    return Scores(histogram(pairs, *bars), examples)


def histogram(pairs: "DataFrame", width: float, lowest: float, highest: float) -> Histogram:
    """Count scores in bars of this width. The first and the last bar also count the scores beyond the range."""
    inside = sf.greatest(sf.least(sf.col(_SCORE), sf.lit(highest)), sf.lit(lowest))
    # 1e-9 puts a decimal score at the edge of a bar, such as 1.06, into this bar despite rounding.
    bar = sf.floor(inside / width + 1e-9).cast("int").alias("bar")
    return Histogram(dict(pairs.groupBy(bar).agg(sf.count(sf.lit(1))).collect()), width)


def _bars_of(pairs: "DataFrame") -> tuple[float, float, float]:
    """Return the width of bars, a round number, and the lowest and the highest score."""
    finite = pairs.where(sf.abs(_SCORE) < float("inf"))
    low, high = finite.agg(sf.min(_SCORE), sf.max(_SCORE)).collect()[0]
    low, high = low or 0.0, high or 0.0
    least = max((high - low) / _BARS, 1e-6)
    unit = 10.0 ** math.floor(math.log10(least))
    width = next(unit * size for size in (1, 2, 5, 10) if unit * size >= least * 0.999)
    return float(f"{width:.0e}"), low, high


def parts(found: Histogram, threshold: float | None, label: str, unit: str) -> list[Html]:
    """Return the histogram, and how many scores reach which threshold.

    Args:
        found: The scores.
        threshold: The threshold of the job.
        label: What a score is.
        unit: What has a score: pairs or duplicates.
    """
    if not found.bars:
        return [page.paragraph(f"There are no {unit}.")]
    picture = plots.score_plot(found.bars, found.width, threshold, label, unit)
    counts = [(cut, f"{count:,}") for cut, count in found.counts().items()]
    return [
        page.figure(picture, f"How many {unit} have which score ({label})."),
        page.heading(f"How many {unit} reach a threshold"),
        page.table(("threshold", unit), counts),
    ]

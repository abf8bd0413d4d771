"""What a person chooses the threshold by: how scores are spread, pairs at each threshold, and examples around it."""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.bitext.columns import SCORE, SOURCE, TARGET
from st_spark.errors import InputError, PlatformError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FIGURE, TEXT = "scores.png", "report.md"
# A bar of the histogram, and the most that there are; scores beyond are counted in the outermost.
_WIDTH, _LOWEST, _HIGHEST = 0.01, -2.0, 4.0
# Lines of the table of thresholds, about, and examples on each side of the threshold.
_LINES, _EXAMPLES = 20, 12
_OUTERMOST = 0.002


@dataclass(frozen=True)
class Histogram:
    """How scores are spread.

    Attributes:
        bars: How many scores lie from the key times _WIDTH on to the next one.
    """

    bars: dict[int, int]

    def above(self, threshold: float) -> int:
        """Pairs from a threshold on that is a multiple of _WIDTH."""
        first = round(threshold / _WIDTH)
        return sum(count for bar, count in self.bars.items() if bar >= first)

    def thresholds(self) -> list[float]:
        """Some twenty round numbers over the range of scores; the outermost scores are not worth lines."""
        low, high = self._bar_at(_OUTERMOST), self._bar_at(1 - _OUTERMOST)
        step = next((size for size in (1, 2, 5, 10, 20) if (high - low) / size <= _LINES), 50)
        return [round(bar * _WIDTH, 4) for bar in range(low // step * step, high + 1, step)]

    def _bar_at(self, share: float) -> int:
        """The bar of the score above so large a share of the others."""
        wanted, seen = share * sum(self.bars.values()), 0
        for bar in sorted(self.bars):
            seen += self.bars[bar]
            if seen > wanted:
                return bar
        return 0


def check(folder: Path) -> None:
    """Before any work: what draws must be there, and a place to write to.

    Raises:
        PlatformError: matplotlib is missing.
        InputError: The folder cannot be made.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise PlatformError(
            "The report needs matplotlib, which is not installed.", "run `pip install 'st-spark[report]'`."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made: {error}.", "name another --report.") from None


def write(pairs: "DataFrame", threshold: float, margin: str, folder: Path) -> dict[str, Any]:
    """Writes the report.

    Args:
        pairs: Pairs also below the threshold; they are read three times. With source_text and target_text their texts
            are shown, else their ids.
        threshold: That of the job.
        margin: One of spec.MARGINS.
        folder: Where to; it is there.

    Returns:
        path, and pairs_from: how many pairs have a score of each of some thresholds or more.
    """
    histogram = _histogram(pairs)
    _draw(histogram, threshold, margin, folder / FIGURE)
    above = {f"{cut:.2f}": histogram.above(cut) for cut in histogram.thresholds()}
    lines = [
        f"# Scores ({margin} margin)",
        "",
        f"![How scores are spread]({FIGURE})",
        "",
        "| from | pairs |",
        "|---|---|",
    ]
    lines += [f"| {cut} | {count:,} |" for cut, count in above.items()]
    score = sf.col(SCORE)
    parts = {
        f"Just above the threshold, {threshold:g}": pairs.where(score > threshold).orderBy(score, SOURCE, TARGET),
        "Just below it": pairs.where(score <= threshold).orderBy(score.desc(), SOURCE, TARGET),
    }
    for title, some in parts.items():
        lines += ["", f"## {title}", "", "| score | source | target |", "|---|---|---|"]
        found = sorted(some.limit(_EXAMPLES).collect(), key=lambda row: -row[SCORE])
        lines += [f"| {row[SCORE]:.4f} | {' | '.join(_cells(row.asDict()))} |" for row in found]
    (folder / TEXT).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"path": str(folder), "pairs_from": above}


def _histogram(pairs: "DataFrame") -> Histogram:
    inside = sf.greatest(sf.least(sf.col(SCORE), sf.lit(_HIGHEST)), sf.lit(_LOWEST))
    # A little is added so that a score that is a bar's edge in decimal counts for that bar.
    bar = sf.floor(inside / _WIDTH + 1e-9).cast("int").alias("bar")
    counted = pairs.groupBy(bar).agg(sf.count(sf.lit(1)).alias("pairs"))
    return Histogram({row["bar"]: row["pairs"] for row in counted.collect()})


def _draw(histogram: Histogram, threshold: float, margin: str, where: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    bars = sorted(histogram.bars)
    axis.bar([bar * _WIDTH for bar in bars], [histogram.bars[bar] for bar in bars], _WIDTH, align="edge")
    if math.isfinite(threshold):
        axis.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:g}")
        axis.legend()
    axis.set(xlabel=f"score ({margin} margin)", ylabel="pairs")
    figure.savefig(where, dpi=100)


def _cells(row: dict[str, Any]) -> list[str]:
    names = ("source_text", "target_text") if "source_text" in row else (SOURCE, TARGET)
    return [" ".join(str(row[name]).replace("|", "\\|").split()) for name in names]

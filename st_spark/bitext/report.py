"""The report to choose a threshold by: the distribution of scores, and examples around the threshold."""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.bitext.retrieval import SCORE, SOURCE, TARGET
from st_spark.errors import InputError, PlatformError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FIGURE, TEXT = "scores.png", "report.md"
# Width of a bar of the histogram, and its range: the first and the last bar also count the scores beyond them.
_WIDTH, _LOWEST, _HIGHEST = 0.01, -2.0, 4.0
# The table of thresholds has about _LINES lines, and leaves out the share _OUTLIERS of scores at each end.
_LINES, _OUTLIERS = 20, 0.002
# Pairs shown on each side of the threshold.
_EXAMPLES = 12


@dataclass(frozen=True)
class Histogram:
    """The distribution of scores.

    Attributes:
        bars: Number of scores from key * _WIDTH up to the next key.
    """

    bars: dict[int, int]

    def at_least(self, threshold: float) -> int:
        """Count the scores of `threshold` or more; it must be a multiple of _WIDTH."""
        first = round(threshold / _WIDTH)
        return sum(count for bar, count in self.bars.items() if bar >= first)

    def thresholds(self) -> list[float]:
        """Return about _LINES round thresholds that cover the scores, except outliers."""
        low, high = self._quantile(_OUTLIERS), self._quantile(1 - _OUTLIERS)
        step = next((size for size in (1, 2, 5, 10, 20) if (high - low) / size <= _LINES), 50)
        return [round(bar * _WIDTH, 4) for bar in range(low // step * step, high + 1, step)]

    def _quantile(self, share: float) -> int:
        """Return the first bar at which the running count exceeds this share of all scores."""
        wanted, count = share * sum(self.bars.values()), 0
        for bar in sorted(self.bars):
            count += self.bars[bar]
            if count > wanted:
                return bar
        return 0


def check(folder: Path) -> None:
    """Check before any work that matplotlib is installed, and make the folder.

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
        raise InputError(f"Cannot make the folder {folder}: {error}.", "name another --report.") from None


def write(pairs: "DataFrame", threshold: float, margin: str, folder: Path) -> dict[str, Any]:
    """Write the report.

    Args:
        pairs: Pairs above and below the threshold. They are read three times. The report shows source_text and
            target_text, or the ids without them.
        threshold: Threshold of the job.
        margin: One of choices.MARGINS.
        folder: An existing folder.

    Returns:
        path, and pairs_from: for some thresholds, how many pairs have this score or a higher one.
    """
    histogram = _histogram(pairs)
    _draw(histogram, threshold, margin, folder / FIGURE)
    counts = {f"{cut:.2f}": histogram.at_least(cut) for cut in histogram.thresholds()}
    lines = [f"# Scores ({margin} margin)", "", f"![Distribution of scores]({FIGURE})", ""]
    lines += ["| from | pairs |", "|---|---|", *(f"| {cut} | {count:,} |" for cut, count in counts.items())]
    score = sf.col(SCORE)
    parts = {
        f"Just above the threshold, {threshold:g}": pairs.where(score > threshold).orderBy(score, SOURCE, TARGET),
        "Just below it": pairs.where(score <= threshold).orderBy(score.desc(), SOURCE, TARGET),
    }
    for title, some in parts.items():
        lines += ["", f"## {title}", "", "| score | source | target |", "|---|---|---|"]
        rows = sorted(some.limit(_EXAMPLES).collect(), key=lambda row: -row[SCORE])
        lines += [f"| {row[SCORE]:.4f} | {' | '.join(_cells(row.asDict()))} |" for row in rows]
    (folder / TEXT).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"path": str(folder), "pairs_from": counts}


def _histogram(pairs: "DataFrame") -> Histogram:
    inside = sf.greatest(sf.least(sf.col(SCORE), sf.lit(_HIGHEST)), sf.lit(_LOWEST))
    # 1e-9 puts a decimal score at the edge of a bar, such as 1.06, into this bar despite rounding.
    bar = sf.floor(inside / _WIDTH + 1e-9).cast("int").alias("bar")
    return Histogram(dict(pairs.groupBy(bar).agg(sf.count(sf.lit(1))).collect()))


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

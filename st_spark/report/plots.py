"""The figures of a report, as pictures inside the page. They show no texts of users: fonts may lack their letters."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 8.0, 3.6
# Steps of the speed over time.
_STEPS = 40
_BLUE, _CUT = "#1f77b4", "#c1121f"


def score_plot(bars: Mapping[int, int], width: float, threshold: float | None, label: str, unit: str) -> str:
    """Draw a histogram of scores.

    Args:
        bars: Counts of scores from key * width up to the next key.
        width: Width of a bar.
        threshold: Where to draw the threshold; None for none.
        label: What a score is.
        unit: What is counted.
    """

    def draw(axis: "Axes") -> None:
        keys = sorted(bars)
        axis.bar([key * width for key in keys], [bars[key] for key in keys], width, align="edge", color=_BLUE)
        if threshold is not None and np.isfinite(threshold):
            axis.axvline(threshold, color=_CUT, linestyle="--", label=f"threshold {threshold:g}")
            axis.legend()
        axis.set(xlabel=label, ylabel=unit)

    return _picture(draw)


def length_plot(lengths: npt.NDArray[np.int64], limit: int | None) -> str:
    """Draw a histogram of the numbers of tokens, and the line where texts are cut."""

    def draw(axis: "Axes") -> None:
        most = max(int(lengths.max(initial=0)), 1)
        step = -(-most // 60)
        axis.hist(lengths, bins=np.arange(0, most + 2 * step, step).tolist(), color=_BLUE)
        if limit is not None:
            axis.axvline(limit, color=_CUT, linestyle="--", label=f"texts are cut at {limit:,} tokens")
            axis.legend()
        axis.set(xlabel="tokens of a text", ylabel="texts of the sample")

    return _picture(draw)


def rates(steps: Sequence[tuple[float, int]]) -> list[tuple[float, float, float]]:
    """Return (start, end, rows per second) for at most _STEPS parts of the time.

    Args:
        steps: Seconds, and rows that were done then.
    """
    if not steps:
        return []
    least = steps[-1][0] / _STEPS
    found, start, before = [], 0.0, 0
    for seconds, rows in steps:
        last = seconds == steps[-1][0]
        if rows > before and (seconds - start >= least or last) and seconds > start:
            found.append((start, seconds, (rows - before) / (seconds - start)))
            start, before = seconds, rows
    return found


def speed_plot(parts: Sequence[tuple[float, float, float]], mean: float) -> str:
    """Draw the rows per second over time, from rates(), and their mean in the job."""

    def draw(axis: "Axes") -> None:
        edges = [parts[0][0], *(end for _, end, _ in parts)]
        axis.stairs([rate for _, _, rate in parts], edges, fill=True, color=_BLUE)
        axis.axhline(mean, color=_CUT, linestyle="--", label=f"mean, writing included: {mean:,.0f} rows/s")
        axis.legend(loc="lower right")
        axis.set(xlabel="seconds since the work began", ylabel="rows per second", ylim=(0, None))

    return _picture(draw)


def map_plot(points: npt.NDArray[Any], groups: npt.NDArray[Any], first: int = 1) -> str:
    """Draw points in two dimensions.

    Args:
        points: [n, 2].
        groups: [n] the group of each point, from 0: its colour. The middle of a group gets its number. -1 is grey.
        first: The number of the first group.
    """

    def draw(axis: "Axes") -> None:
        grey, kept = groups < 0, groups >= 0
        axis.scatter(points[grey, 0], points[grey, 1], c="#b0b0b0", s=9, alpha=0.5, linewidths=0, rasterized=True)
        colours: dict[str, Any] = {"c": groups[kept], "cmap": "tab10", "vmin": -0.5, "vmax": 9.5}
        axis.scatter(points[kept, 0], points[kept, 1], **colours, s=9, alpha=0.7, linewidths=0, rasterized=True)
        box = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "black", "linewidth": 0.8}
        for number in np.unique(groups[kept]):
            middle = points[groups == number].mean(axis=0)
            axis.annotate(str(number + first), middle, ha="center", va="center", weight="bold", bbox=box)
        axis.set(xlabel="first axis", ylabel="second axis", xticks=[], yticks=[])

    return _picture(draw, 6.0)


def _picture(draw: "Callable[[Axes], None]", height: float = _HEIGHT) -> str:
    """Return a drawing as SVG in a data URI."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "st-spark", "font.family": "sans-serif", "font.size": 11}):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axis = figure.add_subplot()
        axis.spines[["top", "right"]].set_visible(False)
        draw(axis)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        figure.savefig(out, format="svg", dpi=150, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue().encode()).decode()}"

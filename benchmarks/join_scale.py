"""Time and memory of similarity_join by the number of rows, exact and approximate.

    python -m benchmarks.join_scale [--rows 10000 20000 50000 100000 200000 500000] [--noise 0.7] [--methods exact ivf]

Uses the clustered tables of benchmarks.join, with the same number of rows on each side. The exponent is the slope of a
straight line through log(seconds) over log(rows), by least squares. With few rows, most of the time is Spark's own.
"""

import math
import statistics
from collections.abc import Sequence

from benchmarks.join import OnSpark, exact, gflops, ivf
from benchmarks.race import parser, race, table
from benchmarks.vectors import NOISE, Clustered

METHODS = {"exact": exact, "ivf": ivf}
# A join runs once before it is timed; the exact join of so many rows does not, because it takes minutes.
_NO_WARM_UP = 200_000


def exponent(rows: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the slope of log(seconds) over log(rows)."""
    return statistics.linear_regression([math.log(n) for n in rows], [math.log(s) for s in seconds]).slope


def main() -> None:
    """Run all sizes and print a table, then the exponents."""
    options = parser(__doc__)
    sizes = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000]
    options.add_argument("--rows", type=int, nargs="+", default=sizes)
    options.add_argument("--noise", type=float, default=NOISE)
    options.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    given = options.parse_args()
    lines, growth = [], []
    for method in given.methods:
        seconds = []
        for rows in given.rows:
            tables = Clustered(rows, given.noise)
            warm_up = method == "ivf" or rows < _NO_WARM_UP
            result = race({method: OnSpark(tables, METHODS[method])}, 1, again=warm_up)[method]
            seconds.append(result.seconds[0])
            figures = (f"{seconds[-1]:.1f}", f"{gflops(tables, seconds[-1]):,.0f}", f"{result.peak_mb:,.0f}")
            lines.append([method, f"{rows:,}", *figures])
            print(*lines[-1], flush=True)
        if len(seconds) > 1:
            whole, last = exponent(given.rows, seconds), exponent(given.rows[-2:], seconds[-2:])
            growth.append(f"{method}: seconds grow with rows to the power of {whole:.2f}, ")
            growth[-1] += f"from {given.rows[-2]:,} to {given.rows[-1]:,} rows {last:.2f}"
    print(table(["join", "rows of each side", "seconds", "GFLOP/s", "peak MB"], lines))
    print("\n".join(growth))


if __name__ == "__main__":
    main()

"""Time and memory of similarity_join against the number of rows, exact and approximate.

    python -m benchmarks.join_scale [--rows 10000 20000 50000 100000 200000 500000] [--noise 0.7] [--methods exact ivf]

The tables of benchmarks.join, as many rows in each. Exponents are those of the straight lines that fit best through
the logarithms of rows and seconds; of small tables most of the time is Spark's own.
"""

import argparse
import math
import statistics
from collections.abc import Sequence

from benchmarks.join import NOISE, WIDTH, OnSpark, exact, ivf
from benchmarks.race import race, table

METHODS = {"exact": exact, "ivf": ivf}
# Tables are joined once before they are timed, but for the exact join of so many rows, which takes minutes.
_ONCE = 200_000


def exponent(rows: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of seconds over rows, both as logarithms."""
    return statistics.linear_regression([math.log(n) for n in rows], [math.log(s) for s in seconds]).slope


def main() -> None:
    """Runs all sizes and prints a table, then the exponents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000]
    parser.add_argument("--rows", type=int, nargs="+", default=sizes)
    parser.add_argument("--noise", type=float, default=NOISE)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    given = parser.parse_args()
    lines, told = [], []
    for method in given.methods:
        taken = []
        for rows in given.rows:
            contender = {method: OnSpark(rows, given.noise, METHODS[method])}
            result = race(contender, 1, again=method == "ivf" or rows < _ONCE)[method]
            taken.append(seconds := result.seconds[0])
            effective = 2 * rows * rows * WIDTH / seconds / 1e9
            lines.append([method, f"{rows:,}", f"{seconds:.1f}", f"{effective:,.0f}", f"{result.peak_mb:,.0f}"])
            print(*lines[-1], flush=True)
        if len(taken) > 1:
            told.append(f"{method}: seconds grow with rows to the power of {exponent(given.rows, taken):.2f}")
            told[-1] += (
                f", from {given.rows[-2]:,} to {given.rows[-1]:,} rows {exponent(given.rows[-2:], taken[-2:]):.2f}"
            )
    print(table(["join", "rows of each side", "seconds", "GFLOP/s", "peak MB"], lines))
    print("\n".join(told))


if __name__ == "__main__":
    main()

"""What an exact similarity_join of two tables costs: the plan that it would make, and its arithmetic. Runs at once.

    python -m benchmarks.join_plan [--dimension 384] [--k 10] [--gflops 250]

--gflops is the rate of one core: what benchmarks.join_scale prints for 500,000 rows that no proof keeps apart (--noise
1.5), divided by the cores, less a little. Hours are those of the arithmetic and of the shuffle at 100 MB/s for each
core, one after the other.
"""

import argparse

from benchmarks.race import table
from st_spark.join import block_plan

ROWS = (10**6, 10**7, 10**8, 10**9)
CORES = (8, 64, 512, 4096)
MOVED = 1e8


def line(rows: int, cores: int, dimension: int, k: int, gflops: float) -> list[str]:
    """The plan of rows x rows."""
    plan = block_plan.choose_grid(rows, rows, dimension, cores, k)
    flops = 2.0 * rows * rows * dimension
    moved = 4.0 * dimension * rows * (plan.left + plan.right)
    held = 5.0 * dimension * rows * (1 / plan.left + 1 / plan.right)
    work, travel = flops / (gflops * 1e9 * cores) / 3600, moved / (MOVED * cores) / 3600
    return [
        *(f"{rows:.0e}".replace("e+0", "e"), f"{cores:,}", f"{plan.left:,} x {plan.right:,}", f"{flops:.1e}"),
        *(f"{moved / 1e12:,.2f}", f"{held / 1e9:.2f}", f"{work:,.2f}", f"{travel:,.2f}"),
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--gflops", type=float, default=250.0)
    given = parser.parse_args()
    lines = [line(rows, cores, given.dimension, given.k, given.gflops) for rows in ROWS for cores in CORES]
    header = ["rows of each side", "cores", "tasks", "flops", "TB moved", "GB a task", "hours of work", "of moving"]
    print(table(header, lines))


if __name__ == "__main__":
    main()

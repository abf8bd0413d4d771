"""What an exact similarity_join of two tables costs: its plan and its arithmetic. Computes nothing, so runs at once.

    python -m benchmarks.join_plan [--dimension 384] [--k 10] [--gflops 250]

--gflops is the rate of one core: a little less than what benchmarks.join_scale prints for 500,000 rows without clusters
to skip (--noise 1.5), divided by its cores. Hours of arithmetic and hours of shuffle, at 100 MB/s per core, add up.
"""

from benchmarks.race import parser, table
from st_spark.join import block_plan

ROWS = (10**6, 10**7, 10**8, 10**9)
CORES = (8, 64, 512, 4096)
SHUFFLE_BYTES = 1e8


def line(rows: int, cores: int, dimension: int, k: int, gflops: float) -> list[str]:
    """Return the plan of rows x rows as a line of the table."""
    plan = block_plan.two_sides(rows, rows, dimension, cores, k)
    flops = 2.0 * rows * rows * dimension
    shuffled = 4.0 * dimension * rows * (plan.left + plan.right)
    task_bytes = 5.0 * dimension * rows * (1 / plan.left + 1 / plan.right)
    compute_hours = flops / (gflops * 1e9 * cores) / 3600
    shuffle_hours = shuffled / (SHUFFLE_BYTES * cores) / 3600
    return [
        *(f"{rows:.0e}".replace("e+0", "e"), f"{cores:,}", f"{plan.left:,} x {plan.right:,}", f"{flops:.1e}"),
        *(f"{shuffled / 1e12:,.2f}", f"{task_bytes / 1e9:.2f}", f"{compute_hours:,.2f}", f"{shuffle_hours:,.2f}"),
    ]


def main() -> None:
    """Print the table."""
    options = parser(__doc__)
    options.add_argument("--dimension", type=int, default=384)
    options.add_argument("--k", type=int, default=10)
    options.add_argument("--gflops", type=float, default=250.0)
    given = options.parse_args()
    lines = [line(rows, cores, given.dimension, given.k, given.gflops) for rows in ROWS for cores in CORES]
    header = ["rows of each side", "cores", "tasks", "flops", "TB shuffled", "GB a task", "hours of arithmetic"]
    print(table([*header, "hours of shuffle"], lines))


if __name__ == "__main__":
    main()

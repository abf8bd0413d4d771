"""similarity_join from Parquet to Parquet, against Spark's own nearestByJoin.

    python -m benchmarks.join_native [--rows 32000] [--as-written]

The tables of benchmarks.join, both joins on local[2]. nearestByJoin sorts all pairs, with the vectors of both rows,
before it chooses: as it is written, 5,000 rows of each side put 40 GB on the disk, and 16,000 fill one of 70 GB. So it
gets its left rows in tasks so small that their pairs are sorted in memory, which makes it three times as fast. It takes
too long to be run once beforehand; in the half hour that it takes, its first seconds are of no account.
"""

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.join import NEIGHBOURS, NOISE, OnSpark, exact, printed
from benchmarks.race import race

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Pairs of a task, about 3 KB each.
_PAIRS = 200_000


def native(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """Spark 4.2's own join."""
    from pyspark.sql import functions as sf

    others: Any = right.select(sf.col("id").alias("right_id"), sf.col("embedding").alias("other"))
    score = sf.expr("vector_inner_product(embedding, other)")
    frame: Any = left
    joined = frame.nearestByJoin(others, score, numResults=NEIGHBOURS, mode="exact", direction="similarity")
    return joined.select("id", "right_id")


def helped(left: "DataFrame", right: "DataFrame", tasks: int) -> "DataFrame":
    """The same with its left rows in so many tasks."""
    return native(left.repartition(tasks), right)


def main() -> None:
    """Runs the race and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32_000)
    parser.add_argument("--as-written", action="store_true", help="nearestByJoin without help")
    given = parser.parse_args()
    join = native if given.as_written else partial(helped, tasks=max(given.rows**2 // _PAIRS, 2))
    results = race({"nearestByJoin": OnSpark(given.rows, NOISE, join)}, 1, again=False)
    results |= race({"similarity_join": OnSpark(given.rows, NOISE, exact)}, 1)
    print(printed(results, given.rows))


if __name__ == "__main__":
    main()

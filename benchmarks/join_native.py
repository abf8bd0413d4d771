"""similarity_join from Parquet to Parquet, against Spark's own nearestByJoin.

    python -m benchmarks.join_native [--rows 32000] [--as-written]

Uses the clustered tables of benchmarks.join, both joins on local[2]. nearestByJoin sorts all pairs, with the vectors of
both rows, before it chooses. By default its left rows are cut into tasks so small that their pairs are sorted in
memory, which makes it three times as fast. With --as-written they are not: 5,000 rows of each table put 40 GB on the
disk, and 16,000 rows fill a disk of 70 GB. nearestByJoin runs once, without a run to warm up: it takes half an hour, so
its first seconds do not matter.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.join import NEIGHBOURS, OnSpark, exact, printed
from benchmarks.race import parser, race
from benchmarks.vectors import Clustered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Pairs of a task, about 3 KB each.
_PAIRS = 200_000


def native(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """Join with Spark 4.2's nearestByJoin."""
    from pyspark.sql import functions as sf

    others: Any = right.select(sf.col("id").alias("right_id"), sf.col("embedding").alias("other"))
    score = sf.expr("vector_inner_product(embedding, other)")
    frame: Any = left
    joined = frame.nearestByJoin(others, score, numResults=NEIGHBOURS, mode="exact", direction="similarity")
    return joined.select("id", "right_id")


def in_tasks(left: "DataFrame", right: "DataFrame", tasks: int) -> "DataFrame":
    """Join with nearestByJoin, the left rows in this number of tasks."""
    return native(left.repartition(tasks), right)


def main() -> None:
    """Run the race and print its table."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=32_000)
    options.add_argument("--as-written", action="store_true", help="do not cut the left rows of nearestByJoin")
    given = options.parse_args()
    tables = Clustered(given.rows)
    join = native if given.as_written else partial(in_tasks, tasks=max(given.rows**2 // _PAIRS, 2))
    results = race({"nearestByJoin": OnSpark(tables, join)}, 1, again=False)
    results |= race({"similarity_join": OnSpark(tables, exact)}, 1)
    print(printed(results, tables))


if __name__ == "__main__":
    main()

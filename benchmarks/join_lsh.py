"""similarity_join with a threshold, against MLlib's locality-sensitive hashing at its recall.

    python -m benchmarks.join_lsh [--rows 5000] [--tables 1 2 4 8 16]

Uses the clustered tables of benchmarks.join. Finds all pairs of a left row and a right row with a cosine of 0.69 or
more, which is a distance of 0.787 or less. With more hash tables, BucketedRandomProjectionLSH finds more of the pairs
and compares more. The benchmark stops at a recall of 0.95, or after a join of more than ten minutes.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.join import OnSpark
from benchmarks.race import parser, table
from benchmarks.vectors import Clustered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COSINE, RECALL, BUCKET = 0.69, 0.95, 1.0


def ours(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """Join with similarity_join."""
    from st_spark import similarity_join

    return similarity_join(left, right, k=None, threshold=COSINE, max_pairs=10**9)


def hashed(left: "DataFrame", right: "DataFrame", tables: int) -> "DataFrame":
    """Join with MLlib, with this number of hash tables."""
    from pyspark.ml.feature import BucketedRandomProjectionLSH
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions as sf

    sides = [side.select("id", array_to_vector(sf.col("embedding")).alias("features")) for side in (left, right)]
    lsh = BucketedRandomProjectionLSH(
        inputCol="features", outputCol="hashes", bucketLength=BUCKET, numHashTables=tables, seed=1
    )
    model = lsh.fit(sides[1])
    found: Any = model.approxSimilarityJoin(sides[0], sides[1], math.sqrt(2 - 2 * COSINE), "distance")
    return found.select(sf.col("datasetA.id").alias("left_id"), sf.col("datasetB.id").alias("right_id"))


class Counted:
    """A join that runs to count its pairs. It also keeps the seconds of the last run."""

    def __init__(self, join: Callable[["DataFrame", "DataFrame"], "DataFrame"]) -> None:
        self.join = join
        self.rows, self.seconds = 0, 0.0

    def __call__(self, left: "DataFrame", right: "DataFrame") -> "DataFrame":
        """Count the pairs; return something small to write."""
        start = time.perf_counter()
        self.rows = self.join(left, right).count()
        self.seconds = time.perf_counter() - start
        return left.limit(1)


def main() -> None:
    """Run both and print a table."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=5_000)
    options.add_argument("--tables", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    given = options.parse_args()
    tables = Clustered(given.rows)
    join = Counted(ours)
    run = OnSpark(tables, join)()
    run()
    run()
    pairs, seconds = join.rows, join.seconds
    lines = [["similarity_join", "1.000", f"{seconds:.1f}", "1.0"]]
    for count in given.tables:
        join = Counted(partial(hashed, tables=count))
        OnSpark(tables, join)()()
        recall, slower = join.rows / pairs, join.seconds / seconds
        lines.append([f"MLlib LSH, {count} tables", f"{recall:.3f}", f"{join.seconds:.1f}", f"{slower:.1f}"])
        print(*lines[-1], flush=True)
        if recall >= RECALL or join.seconds > 600:
            break
    print(table([f"{given.rows:,} x {given.rows:,}, {pairs:,} pairs", "recall", "seconds", "x ours"], lines))


if __name__ == "__main__":
    main()

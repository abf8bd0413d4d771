"""similarity_join with a threshold against MLlib's locality-sensitive hashing, at the recall that it reaches.

    python -m benchmarks.join_lsh [--rows 5000] [--tables 1 2 4 8 16]

The tables of benchmarks.join. Wanted are all pairs of a row of one and a row of the other with a cosine of at least
0.69, which is a distance of at most 0.787. BucketedRandomProjectionLSH finds more of them the more hash tables it has,
and compares more pairs for it; it stops at a recall of 0.95, or where it takes longer than ten minutes.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.join import NOISE, OnSpark
from benchmarks.race import table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COSINE, RECALL, BUCKET = 0.69, 0.95, 1.0


def ours(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """similarity_join."""
    from st_spark import similarity_join

    return similarity_join(left, right, k=None, threshold=COSINE, max_pairs=10**9)


def hashed(left: "DataFrame", right: "DataFrame", tables: int) -> "DataFrame":
    """MLlib's join."""
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
    """A join that is carried out to count its pairs, and how long that took."""

    def __init__(self, join: Callable[["DataFrame", "DataFrame"], "DataFrame"]) -> None:
        self.join = join
        self.rows, self.seconds = 0, 0.0

    def __call__(self, left: "DataFrame", right: "DataFrame") -> "DataFrame":
        """Both, and something small to write."""
        start = time.perf_counter()
        self.rows = self.join(left, right).count()
        self.seconds = time.perf_counter() - start
        return left.limit(1)


def main() -> None:
    """Runs both and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    given = parser.parse_args()
    join = Counted(ours)
    run = OnSpark(given.rows, NOISE, join)()
    run()
    run()
    pairs, mine = join.rows, join.seconds
    lines = [["similarity_join", "1.000", f"{mine:.1f}", "1.0"]]
    for tables in given.tables:
        join = Counted(partial(hashed, tables=tables))
        OnSpark(given.rows, NOISE, join)()()
        recall = join.rows / pairs
        lines.append(
            [f"MLlib LSH, {tables} tables", f"{recall:.3f}", f"{join.seconds:.1f}", f"{join.seconds / mine:.1f}"]
        )
        print(*lines[-1], flush=True)
        if recall >= RECALL or join.seconds > 600:
            break
    print(table([f"{given.rows:,} x {given.rows:,}, {pairs:,} pairs", "recall", "seconds", "x ours"], lines))


if __name__ == "__main__":
    main()

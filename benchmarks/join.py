"""similarity_join from Parquet to Parquet, against faiss in one process.

    pip install faiss-cpu
    python -m benchmarks.join [--rows 100000] [--rounds 2] [--noise 0.7]

Both tables hold clustered vectors of length 1 with 384 values: 1,000 random directions, and around each of them noise
of 0.7 of its length (with 100 nothing is left of the clusters: the worst case of an exact join). Ten neighbours of
each row are wanted, by the inner product. faiss.knn reads arrays that are in memory already; the joins read and write
files. GFLOP/s are 2 x rows x rows x 384 / seconds, whatever was computed. Before it is timed, each has joined 500 rows
and then all of them once; and Python workers, which Spark ends when they had nothing to do for a minute, are awake.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.race import Maker, Result, race, scratch, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WIDTH, NEIGHBOURS, CLUSTERS = 384, 10, 1000
FILES, NOISE = 4, 0.7
# Rows of the joins that come before those that are timed.
_FEW = 500


@cache
def vectors(count: int, seed: int, noise: float) -> npt.NDArray[np.float32]:
    """[count, 384] of length 1."""
    centers = np.random.default_rng(0).standard_normal((CLUSTERS, WIDTH), dtype=np.float32)
    rng = np.random.default_rng(seed)
    x = centers[rng.integers(0, CLUSTERS, count)] + noise * rng.standard_normal((count, WIDTH), dtype=np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)


def write(folder: Path, rows: npt.NDArray[np.float32]) -> None:
    """A table of id (long) and embedding (array<float>) in some files."""
    folder.mkdir(parents=True)
    for number, places in enumerate(np.array_split(np.arange(len(rows)), FILES)):
        offsets = pa.array(np.arange(len(places) + 1) * rows.shape[1], pa.int32())
        lists = pa.ListArray.from_arrays(offsets, pa.array(rows[places].ravel()))
        pq.write_table(pa.table({"id": places, "embedding": lists}), folder / f"{number}.parquet")


@dataclass(frozen=True)
class Faiss:
    """faiss.knn of arrays in memory, with two threads."""

    rows: int
    noise: float

    def __call__(self) -> Callable[[], object]:
        """Makes the arrays; returns what searches."""
        import faiss

        faiss.omp_set_num_threads(2)
        left, right = (vectors(self.rows, seed, self.noise) for seed in (1, 2))
        return lambda: faiss.knn(left, right, NEIGHBOURS, metric=faiss.METRIC_INNER_PRODUCT)


@dataclass(frozen=True)
class OnSpark:
    """A join on local[2] that reads and writes Parquet."""

    rows: int
    noise: float
    join: Callable[["DataFrame", "DataFrame"], "DataFrame"]

    def __call__(self) -> Callable[[], object]:
        """Starts Spark and writes the tables; returns what joins them."""
        from pyspark.sql import SparkSession

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        spark = builder.config("spark.driver.memory", "4g").getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        folder = scratch()
        for seed, side in enumerate(("left", "right"), 1):
            write(folder / side, vectors(self.rows, seed, self.noise))
        few = (spark.read.parquet(str(folder / side)).limit(_FEW) for side in ("left", "right"))
        self.join(*few).collect()  # wakes the Python workers, and the compiler of the JVM

        def awake(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            import st_spark.topk.search  # noqa: F401

            time.sleep(1)  # until the other core has got a worker, too
            yield from batches

        def run() -> float:
            left, right = (spark.read.parquet(str(folder / side)) for side in ("left", "right"))
            spark.range(0, 2, numPartitions=2).mapInArrow(awake, "id bigint").collect()
            start = time.perf_counter()
            self.join(left, right).write.parquet(str(folder / "out"))
            seconds = time.perf_counter() - start
            shutil.rmtree(folder / "out")
            return seconds

        return run


def exact(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """similarity_join."""
    from st_spark import similarity_join

    return similarity_join(left, right, k=NEIGHBOURS)


def ivf(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """similarity_join that may miss a twentieth."""
    from st_spark import similarity_join

    return similarity_join(left, right, k=NEIGHBOURS, method="ivf", recall=0.95)


def main() -> None:
    """Runs the race and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--noise", type=float, default=NOISE)
    given = parser.parse_args()
    makers: dict[str, Maker] = {
        "faiss.knn, 2 threads": Faiss(given.rows, given.noise),
        "similarity_join": OnSpark(given.rows, given.noise, exact),
        "similarity_join, ivf at 0.95": OnSpark(given.rows, given.noise, ivf),
    }
    print(printed(race(makers, given.rounds), given.rows))


def printed(results: dict[str, Result], rows: int) -> str:
    """The table of a race."""
    first, *_ = results.values()
    lines = []
    for name, result in results.items():
        seconds = 1 / result.rate(1)
        effective = 2 * rows * rows * WIDTH / seconds / 1e9
        faster = f"{result.times_faster_than(first):.1f}"
        lines.append([name, f"{seconds:.1f}", f"{effective:,.1f}", faster, f"{result.peak_mb:,.0f}"])
    return table([f"{rows:,} x {rows:,}", "seconds", "GFLOP/s", "x first", "peak MB"], lines)


if __name__ == "__main__":
    main()

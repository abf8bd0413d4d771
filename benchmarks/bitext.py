"""mine_bitext from Parquet to Parquet, against the method of sentence-transformers' example; and texts to pairs.

    pip install faiss-cpu
    python -m benchmarks.bitext [--rows 50000] [--rounds 2] [--texts 2000]

Both sides hold clustered vectors of length 1 with 512 values: 1,000 random directions, and around each of them noise of
0.7 of its length. One target row in ten is the translation of a source row: the same with noise of 0.5. The example's
method is that of sentence-transformers (and LASER before it): a flat faiss index in each direction, scores pair by pair
in Python, then the best first, each row once. It reads arrays that are in memory already; mine_bitext reads and writes
files. Both must give the same pairs. GFLOP/s are 2 x rows x rows x 512 / seconds, whatever was computed.

Then `st-spark mine` from texts to pairs, with a model of LaBSE's size (12 layers of 768, and a vocabulary of 30,522 in
the place of 501,153, which changes memory alone) with random weights: how many texts of both sides it takes a second.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks import labse
from benchmarks.join import write
from benchmarks.race import Maker, race, scratch, table
from benchmarks.texts import phrases

WIDTH, CLUSTERS, K, THRESHOLD = 512, 1000, 4, 1.06
Vectors = npt.NDArray[np.float32]


@cache
def vectors(count: int) -> tuple[Vectors, Vectors]:
    """Source and target rows, [count, 512] each."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLUSTERS, WIDTH), dtype=np.float32)
    sides = [
        centers[rng.integers(0, CLUSTERS, count)] + 0.7 * rng.standard_normal((count, WIDTH), dtype=np.float32)
        for _ in range(2)
    ]
    partners = rng.permutation(count)[: count // 10]
    sides[1][: len(partners)] = sides[0][partners] + 0.5 * rng.standard_normal((len(partners), WIDTH), dtype=np.float32)
    unit = [np.asarray(side / np.linalg.norm(side, axis=1, keepdims=True), dtype=np.float32) for side in sides]
    return unit[0], unit[1]


@dataclass(frozen=True)
class Example:
    """The method of the example, with two threads; leaves its pairs in a file."""

    rows: int
    found: Path

    def __call__(self) -> Callable[[], object]:
        """Makes the arrays; returns what mines."""
        import faiss

        faiss.omp_set_num_threads(2)
        x, y = vectors(self.rows)

        def nearest(one: Vectors, other: Vectors) -> tuple[Any, Any]:
            index = faiss.IndexFlatIP(WIDTH)
            index.add(other)
            return index.search(one, K)

        def run() -> None:
            ahead, forward = nearest(x, y)
            back, backward = nearest(y, x)
            means = ahead.mean(axis=1), back.mean(axis=1)
            pairs = [_scored(x, y, forward, *means), _scored(y, x, backward, *means[::-1])]
            best = [each.argmax(axis=1) for each in pairs]
            rows = np.arange(self.rows)
            source = np.concatenate((rows, backward[rows, best[1]]))
            target = np.concatenate((forward[rows, best[0]], rows))
            score = np.concatenate([each.max(axis=1) for each in pairs])
            seen: tuple[set[int], set[int]] = set(), set()
            kept = []
            for place in np.argsort(-score):
                i, j = int(source[place]), int(target[place])
                if score[place] <= THRESHOLD:
                    break
                if i not in seen[0] and j not in seen[1]:
                    seen[0].add(i)
                    seen[1].add(j)
                    kept.append((i, j))
            _keep(kept, self.found)

        return run


def _scored(x: Vectors, y: Vectors, near: Any, mean: Any, other: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """Pair by pair, as the example does."""
    scores = np.zeros(near.shape)
    for i in range(near.shape[0]):
        for j in range(near.shape[1]):
            k = near[i, j]
            scores[i, j] = x[i].dot(y[k]) / ((mean[i] + other[k]) / 2)
    return scores


@dataclass(frozen=True)
class Mining:
    """mine_bitext on local[2], which reads and writes Parquet; leaves its pairs in a file."""

    rows: int
    found: Path

    def __call__(self) -> Callable[[], object]:
        """Starts Spark and writes the tables; returns what mines."""
        from pyspark.sql import SparkSession

        from st_spark import mine_bitext

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        spark = builder.config("spark.driver.memory", "4g").getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        folder = self.found.parent / "tables"
        for side, rows in zip(("source", "target"), vectors(self.rows), strict=True):
            write(folder / side, rows)

        def run() -> float:
            source, target = (spark.read.parquet(str(folder / side)) for side in ("source", "target"))
            source.limit(2).mapInArrow(lambda batches: batches, source.schema).collect()  # wakes the Python workers
            start = time.perf_counter()
            mine_bitext(source, target, k=K, threshold=THRESHOLD).write.parquet(str(folder / "out"))
            seconds = time.perf_counter() - start
            made = pq.read_table(folder / "out", columns=["source_id", "target_id"])
            _keep(list(zip(*(column.to_pylist() for column in made.columns), strict=True)), self.found)
            shutil.rmtree(folder / "out")
            return seconds

        return run


def _keep(pairs: list[tuple[int, int]], where: Path) -> None:
    where.write_text(json.dumps(sorted(pairs)))


def from_texts(count: int) -> list[str]:
    """`st-spark mine` of so many texts on each side; gives a line of a table."""
    from st_spark.jobs import runner
    from st_spark.spark import session
    from st_spark.specs.jobs import MineJob

    folder = scratch()
    texts = phrases(2 * count)
    for side, some in (("source", texts[::2]), ("target", texts[1::2])):
        lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate(some)]
        (folder / f"{side}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    job = MineJob(
        source=str(folder / "source.jsonl"),
        target=str(folder / "target.jsonl"),
        output=str(folder / "out"),
        text_column="text",
        model=str(labse.write(folder / "model")),
    )
    spark = session.start()
    result = runner.run(job, spark)
    spark.stop()
    seconds = result["seconds"]
    parts = {name: seconds.get(name, 0.0) for name in ("load", "encode", "survey", "mine_and_write", "total")}
    rate = 2 * count / (parts["total"] - parts["load"])
    return [f"{2 * count:,}", *(f"{value:.1f}" for value in parts.values()), f"{rate:,.0f}", result["model"]["dtype"]]


def main() -> None:
    """Runs the race and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--texts", type=int, default=2_000, help="of each side; 0 for vectors alone")
    given = parser.parse_args()
    folder = scratch()
    names = ("the example: faiss in both directions", "mine_bitext")
    files = {name: folder / f"{place}.json" for place, name in enumerate(names)}
    makers: dict[str, Maker] = {
        names[0]: Example(given.rows, files[names[0]]),
        names[1]: Mining(given.rows, files[names[1]]),
    }
    results = race(makers, given.rounds)
    pairs = [{tuple(pair) for pair in json.loads(file.read_text())} for file in files.values()]
    first, *_ = results.values()
    lines = []
    for (name, result), found in zip(results.items(), pairs, strict=True):
        seconds = 1 / result.rate(1)
        effective = 2 * given.rows**2 * WIDTH / seconds / 1e9
        faster = f"{result.times_faster_than(first):.1f}"
        same = f"{len(found & pairs[0]):,} of {len(found):,}"
        lines.append([name, f"{seconds:.1f}", f"{effective:,.1f}", faster, same, f"{result.peak_mb:,.0f}"])
    header = [f"{given.rows:,} x {given.rows:,}", "seconds", "GFLOP/s", "x first", "pairs as the first", "peak MB"]
    print(table(header, lines), flush=True)
    if given.texts:
        header = ["texts", "load s", "encode s", "survey s", "mine s", "total s", "texts/s after load", "dtype"]
        print("\n" + table(header, [from_texts(given.texts)]))


if __name__ == "__main__":
    main()

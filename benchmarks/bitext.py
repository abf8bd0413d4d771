"""mine_bitext from Parquet to Parquet, against the method of sentence-transformers' example; and mining from texts.

    pip install faiss-cpu
    python -m benchmarks.bitext [--rows 50000] [--rounds 2] [--texts 2000]

Both tables hold vectors of length 1 with 512 values in 1,000 clusters: a center plus noise of 0.7 times its length. One
target row in ten is the translation of a source row: the source row plus noise of 0.5 times a center's length. The
example of sentence-transformers (and LASER before it) searches a flat faiss index in each direction, scores pair by
pair in Python, and then takes the best pairs first, each row once. It reads arrays in memory, and faiss has its fastest
OpenBLAS kernels (see benchmarks.blas); mine_bitext reads and writes files. Both must find the same pairs. GFLOP/s are
2 x rows x rows x 512 / seconds, whatever was computed.

Then `st-spark mine` runs from texts to pairs, with a model of LaBSE's size and random weights: 12 layers of 768 and a
vocabulary of 30,522 (LaBSE's 501,153 would change only the memory).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks import labse, local_spark
from benchmarks.blas import fastest_coretype, set_coretype
from benchmarks.join import gflops
from benchmarks.race import Maker, Result, parser, race, scratch, table
from benchmarks.texts import phrases
from benchmarks.vectors import Clustered, Vectors, unit

WIDTH, K, THRESHOLD = 512, 4, 1.06
Pairs = list[tuple[int, int]]


@cache
def vectors(count: int) -> tuple[Vectors, Vectors]:
    """Return source and target rows, [count, 512] each."""
    tables = Clustered(count, width=WIDTH)
    source, target = tables(1), tables(2)
    rng = np.random.default_rng(3)
    partners = rng.permutation(count)[: count // 10]
    # A center has a length of sqrt(512), and a row of length 1 was sqrt(1 + 0.7^2) times as long.
    noise = 0.5 / (WIDTH * (1 + tables.noise**2)) ** 0.5
    target[: len(partners)] = source[partners] + noise * rng.standard_normal((len(partners), WIDTH), dtype=np.float32)
    return source, unit(target)


@dataclass(frozen=True)
class Example:
    """The method of the example, with two threads; writes its pairs to a file."""

    rows: int
    out: Path
    coretype: str

    def __call__(self) -> Callable[[], object]:
        """Make the arrays; return the function that mines."""
        set_coretype(self.coretype)
        import faiss

        faiss.omp_set_num_threads(2)
        x, y = vectors(self.rows)

        def nearest(one: Vectors, other: Vectors) -> tuple[Any, Any]:
            index = faiss.IndexFlatIP(WIDTH)
            index.add(other)
            return index.search(one, K)

        def run() -> None:
            cosine, forward = nearest(x, y)
            back_cosine, backward = nearest(y, x)
            means = cosine.mean(axis=1), back_cosine.mean(axis=1)
            scores = [_scores(x, y, forward, *means), _scores(y, x, backward, *means[::-1])]
            best = [each.argmax(axis=1) for each in scores]
            rows = np.arange(self.rows)
            source = np.concatenate((rows, backward[rows, best[1]]))
            target = np.concatenate((forward[rows, best[0]], rows))
            _write(_one_to_one(source, target, np.concatenate([each.max(axis=1) for each in scores])), self.out)

        return run


def _scores(x: Vectors, y: Vectors, near: Any, mean: Any, other: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """Score pair by pair, as the example does."""
    scores = np.zeros(near.shape)
    for i in range(near.shape[0]):
        for j in range(near.shape[1]):
            k = near[i, j]
            scores[i, j] = x[i].dot(y[k]) / ((mean[i] + other[k]) / 2)
    return scores


def _one_to_one(source: npt.NDArray[Any], target: npt.NDArray[Any], score: npt.NDArray[np.float64]) -> Pairs:
    sources: set[int] = set()
    targets: set[int] = set()
    kept = []
    for place in np.argsort(-score):
        i, j = int(source[place]), int(target[place])
        if score[place] <= THRESHOLD:
            break
        if i not in sources and j not in targets:
            sources.add(i)
            targets.add(j)
            kept.append((i, j))
    return kept


@dataclass(frozen=True)
class Mining:
    """mine_bitext on local[2], which reads and writes Parquet; writes its pairs to a file, too."""

    rows: int
    out: Path

    def __call__(self) -> Callable[[], object]:
        """Start Spark and write the tables; return the function that mines."""
        from st_spark import mine_bitext

        spark, folder = local_spark.start(), self.out.parent / "tables"
        for side, rows in zip(("source", "target"), vectors(self.rows), strict=True):
            local_spark.write_vectors(folder / side, rows)

        def run() -> float:
            source, target = (spark.read.parquet(str(folder / side)) for side in ("source", "target"))
            local_spark.wake_workers(spark)
            seconds = local_spark.timed_write(
                lambda: mine_bitext(source, target, k=K, threshold=THRESHOLD), folder / "out"
            )
            pairs = pq.read_table(folder / "out", columns=["source_id", "target_id"])
            _write(list(zip(*(column.to_pylist() for column in pairs.columns), strict=True)), self.out)
            return seconds

        return run


def _write(pairs: Pairs, where: Path) -> None:
    where.write_text(json.dumps(sorted(pairs)))


def from_texts(count: int) -> list[str]:
    """Run `st-spark mine` on `count` texts of each side; return a line of a table."""
    from st_spark.jobs import runner
    from st_spark.spark import session
    from st_spark.specs.pair_jobs import MineJob

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
    """Run the race and print both tables."""
    options = parser(__doc__, rounds=2)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--texts", type=int, default=2_000, help="texts of each side; 0 for vectors only")
    given = options.parse_args()
    folder = scratch()
    files = {"the example: faiss in both directions": folder / "example.json", "mine_bitext": folder / "mined.json"}
    example, mined = files.values()
    contenders: tuple[Maker, Maker] = Example(given.rows, example, fastest_coretype()), Mining(given.rows, mined)
    results = race(dict(zip(files, contenders, strict=True)), given.rounds)
    print(_printed(results, files, given.rows), flush=True)
    if given.texts:
        header = ["texts", "load s", "encode s", "survey s", "mine s", "total s", "texts/s after load", "dtype"]
        print("\n" + table(header, [from_texts(given.texts)]))


def _printed(results: dict[str, Result], files: dict[str, Path], rows: int) -> str:
    found = {name: {tuple(pair) for pair in json.loads(file.read_text())} for name, file in files.items()}
    first, *_ = results
    lines = []
    for name, result in results.items():
        seconds = 1 / result.rate(1)
        rate, faster = gflops(Clustered(rows, width=WIDTH), seconds), result.times_faster_than(results[first])
        same = f"{len(found[name] & found[first]):,} of {len(found[name]):,}"
        lines.append([name, f"{seconds:.1f}", f"{rate:,.1f}", f"{faster:.1f}", same, f"{result.peak_mb:,.0f}"])
    header = [f"{rows:,} x {rows:,}", "seconds", "GFLOP/s", "x first", "pairs as the first", "peak MB"]
    return table(header, lines)


if __name__ == "__main__":
    main()

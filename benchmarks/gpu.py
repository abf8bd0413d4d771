"""encode() and the exact search on a GPU against sentence-transformers, by the size of the model; no Spark.

    python -m benchmarks.gpu [--texts 20000] [--rounds 3] [--rows 200000] [SHAPE ...]

It needs torch, transformers and sentence-transformers only, and runs alone on a bare GPU machine. The checkpoints have
the true layers and widths, and random weights: these do not change the speed. The texts have the lengths of queries
(9 tokens on average), of passages (some 55) and of documents (some 300).

The peer runs at its defaults (float32, 32 texts a batch), and in bfloat16 with the fastest of several batch sizes. The
contenders take turns; a rate is that of the median round. The search is of rows in one table, k 10, against
util.semantic_search on the GPU in float32.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.model_speed import SHAPES, write
from benchmarks.race import parser, table
from tests.support.checkpoints import WORDS, write_json

DEFAULT = ("bert-6x384", "bert-12x384", "mpnet-12x768", "bert-12x768", "t5-12x768", "modernbert-22x768")
# Mean number of words of a text, and the share of the texts of a run: a long one costs more.
KINDS = {"queries": (7, 1.0), "passages": (53, 0.5), "documents": (300, 0.1)}
BATCHES = (32, 128, 512)
LIMIT = 512
HEADER = ["model", "texts", "peer, texts/s", "peer's best", "st-spark", "x peer", "x its best", "min cosine", "peak MB"]


def main() -> None:
    """Run each shape and the search, and print two tables."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--texts", type=int, default=20_000)
    options.add_argument("--rows", type=int, default=200_000, help="rows of each side of the search; 0 for no search")
    options.add_argument("shapes", nargs="*", default=DEFAULT, metavar="SHAPE")
    given = options.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(table(HEADER, []))
    for shape in given.shapes:
        for row in measure(shape, given.texts, given.rounds):
            print("| " + " | ".join(row) + " |", flush=True)
    if given.rows:
        print(search(given.rows, given.rounds))


def measure(shape: str, count: int, rounds: int) -> list[list[str]]:
    """Return a row of the table for each kind of text."""
    from sentence_transformers import SentenceTransformer as Peer

    from st_spark import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *SHAPES[shape])
        write_json(Path(folder) / "sentence_bert_config.json", {"max_seq_length": LIMIT})
        ours = SentenceTransformer(folder, device="cuda")
        exact = Peer(folder, device="cuda", model_kwargs={"dtype": torch.float32})
        half = Peer(folder, device="cuda", model_kwargs={"dtype": torch.bfloat16})
    return [_row(shape, kind, texts(kind, count), ours, exact, half, rounds) for kind in KINDS]


def texts(kind: str, count: int) -> list[str]:
    """Return texts whose numbers of words follow a log-normal distribution."""
    mean, share = KINDS[kind]
    draw = random.Random(0)
    sizes = [int(draw.lognormvariate(0, 0.5) * mean / 1.13) + 1 for _ in range(int(count * share))]
    return [" ".join(draw.choices(WORDS, k=min(size, LIMIT))) for size in sizes]


def _row(
    shape: str,
    kind: str,
    inputs: list[str],
    ours: Any,  # noqa: ANN401  (of two libraries)
    exact: Any,  # noqa: ANN401
    half: Any,  # noqa: ANN401
    rounds: int,
) -> list[str]:
    size = _best_size(half, inputs)
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours.encode(inputs),
        "peer": lambda: exact.encode(inputs),
        "half": lambda: half.encode(inputs, batch_size=size),
    }
    took, peak = turns(runs, rounds)
    rates = {name: len(inputs) / seconds for name, seconds in took.items()}
    some = inputs[:500]
    mine, theirs = ours.encode(some), exact.encode(some)
    cosine = ((mine * theirs).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(theirs, axis=1)).min()
    ratios = f"{rates['ours'] / rates['peer']:.2f}", f"{rates['ours'] / rates['half']:.2f}"
    figures = f"{rates['peer']:,.0f}", f"{rates['half']:,.0f}", f"{rates['ours']:,.0f}"
    return [shape, kind, *figures, *ratios, f"{cosine:.5f}", f"{peak['ours']:,.0f}"]


def _best_size(model: Any, inputs: list[str]) -> int:  # noqa: ANN401
    """Return the fastest batch size of the peer, by a quarter of the texts."""
    some = inputs[: len(inputs) // 4]
    model.encode(some, batch_size=BATCHES[0])
    return min(BATCHES, key=lambda size: _seconds(lambda: model.encode(some, batch_size=size)))


def search(rows: int, rounds: int) -> str:
    """Return a table of the seconds of an exact search of all rows for all rows."""
    from sentence_transformers.util import semantic_search

    from st_spark.topk.search import top_k

    draw = np.random.default_rng(0)
    left, right = (draw.standard_normal((rows, 384), dtype=np.float32) for _ in range(2))
    queries, corpus = (torch.nn.functional.normalize(torch.from_numpy(side).cuda()) for side in (left, right))

    def peer() -> object:
        return semantic_search(queries, corpus, query_chunk_size=2048, corpus_chunk_size=rows, top_k=10)

    took, peak = turns({"semantic_search": peer, "top_k": lambda: top_k(left, right, 10, "cosine")}, rounds)
    header = [f"{rows:,} x {rows:,} x 384", "seconds", "x first", "peak MB"]
    first = took["semantic_search"]
    return table(header, [[n, f"{s:.2f}", f"{first / s:.2f}", f"{peak[n]:,.0f}"] for n, s in took.items()])


def turns(runs: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median seconds and the peak GPU memory in MB of each contender, without a first round."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    peak = {}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            torch.cuda.reset_peak_memory_stats()
            took[name].append(_seconds(run))
            peak[name] = torch.cuda.max_memory_allocated() / 1e6
    return {name: statistics.median(seconds[1:]) for name, seconds in took.items()}, peak


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

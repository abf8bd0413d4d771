"""encode() against sentence-transformers, beside the ceiling of matrix products; no Spark.

    python -m benchmarks.encode [--model NAME] [--device cuda] [--rounds 5]

Effective GFLOP/s = 2 x non-embedding parameters x real tokens / seconds. Padding and attention do not count as work.
The peer is sentence-transformers at its defaults (float32); a row beside it shows its bfloat16.
"""

import json
import statistics
from functools import partial

from benchmarks.ceiling import Gemm
from benchmarks.encoders import MODEL, SentenceTransformers, StSpark, Texts, model_folder
from benchmarks.race import Maker, Result, parser, race, table
from benchmarks.texts import passages, phrases

FORMATS = ("float32", "bfloat16", "int8")
SETS: dict[str, Texts] = {"passages": partial(passages, 600), "phrases": partial(phrases, 2400)}


def count_tokens(texts: list[str], model: str) -> int:
    """Count the tokens that the model reads, special tokens included."""
    from st_spark import SentenceTransformer

    return int(SentenceTransformer(model, device="cpu").embed(texts).n_tokens.sum())


def parameters(model: str) -> int:
    """Return how many weights of a BERT-like model are multiplied for each token."""
    config = json.loads((model_folder(model) / "config.json").read_text(encoding="utf-8"))
    width, inner = config["hidden_size"], config["intermediate_size"]
    return int(config["num_hidden_layers"] * (4 * width * width + 2 * width * inner))


def main() -> None:
    """Run the race and print a table."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--device", default="cpu")
    options.add_argument("--model", default=MODEL)
    given = options.parse_args()
    formats = FORMATS if given.device == "cpu" and has_int8() else FORMATS[:2]
    makers: dict[str, Maker] = {f"GEMM {dtype}": Gemm(dtype, given.device) for dtype in formats}
    for name, texts in SETS.items():
        for dtype in ("float32", "bfloat16"):
            peer = SentenceTransformers(texts, given.model, device=given.device, dtype=dtype)
            makers[f"{name}: sentence-transformers {dtype}"] = peer
        for dtype in formats:
            makers[f"{name}: st-spark {dtype}"] = StSpark(texts, given.model, dtype, given.device)
    results = race(makers, given.rounds)
    ceilings = {dtype: results[f"GEMM {dtype}"].rate(Gemm.flops) / 1e9 for dtype in formats}
    print(", ".join(f"GEMM ceiling {dtype}: {rate:.0f} GFLOP/s" for dtype, rate in ceilings.items()))
    header = [given.model, "texts/s", "tokens/text", "GFLOP/s", "of ceiling", "x peer", "peak MB"]
    print(table(header, [row for name in SETS for row in _rows(name, given.model, results, ceilings)]))


def has_int8() -> bool:
    """Return whether the processor multiplies int8 fast."""
    from st_spark.model.backbones import int8

    return int8.is_available()


def _rows(name: str, model: str, results: dict[str, Result], ceilings: dict[str, float]) -> list[list[str]]:
    texts = SETS[name]()
    tokens, work = count_tokens(texts, model), parameters(model)
    peer = results[f"{name}: sentence-transformers float32"]
    rows = []
    for title, result in results.items():
        if not title.startswith(name + ":"):
            continue
        ceiling = ceilings[title.rpartition(" ")[2]]
        gflops = 2 * work * tokens / statistics.median(result.seconds) / 1e9
        figures = (f"{result.rate(len(texts)):.0f}", f"{tokens / len(texts):.0f}", f"{gflops:.0f}")
        ratio, memory = f"{result.times_faster_than(peer):.2f}", f"{result.peak_mb:.0f}"
        rows.append([title, *figures, f"{gflops / ceiling:.0%}", ratio, memory])
    return rows


if __name__ == "__main__":
    main()

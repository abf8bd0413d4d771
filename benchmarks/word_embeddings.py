"""A word model of 400,000 words in 300 dimensions against sentence-transformers' own; no Spark.

    python -m benchmarks.word_embeddings [--rounds 5]

The vectors are random: speed does not depend on them. The vocabulary has the words of the demo's texts at random places
among made-up words. "Made-up" texts have 16 words each, drawn from the vocabulary by Zipf's law. Both use two threads.
"""

import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.encoders import SentenceTransformers, StSpark, Texts
from benchmarks.race import Maker, parser, race, table
from benchmarks.texts import passages, phrases

WORDS, WIDTH = 400_000, 300


@cache
def vocabulary() -> list[str]:
    """Return the padding word of old checkpoints, then words of the demo's texts and made-up words in random order."""
    rng = np.random.default_rng(0)
    real = {word.strip(".,;:!?()\"'").lower() for text in passages(5000) for word in text.split()} - {""}
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    drawn = ("".join(row) for row in letters[rng.integers(0, 26, (2 * WORDS, 8))])
    words = list(dict.fromkeys([*sorted(real), *drawn]))[: WORDS - 1]
    return ["PADDING_TOKEN", *rng.permutation(words).tolist()]


def made_up(count: int) -> list[str]:
    """Return sentences of 16 words, drawn by Zipf's law."""
    ranks = np.random.default_rng(1).zipf(1.2, (count, 16)) % (WORDS - 1) + 1
    words = np.array(vocabulary(), dtype=object)
    return [" ".join(row).capitalize() + "." for row in words[ranks]]


SETS: dict[str, Texts] = {
    "passages": partial(passages, 5000),
    "phrases": partial(phrases, 9900),
    "made-up": partial(made_up, 40_000),
}


def write(folder: Path) -> None:
    """Write a checkpoint with the layout of average_word_embeddings_glove.6B.300d."""
    import torch

    from tests.support.checkpoints import write_json, write_modules, write_pooling

    module = folder / "0_WordEmbeddings"
    tokenizer = "sentence_transformers.models.tokenizer.WhitespaceTokenizer.WhitespaceTokenizer"
    write_json(module / "wordembedding_config.json", {"tokenizer_class": tokenizer, "max_seq_length": 1_000_000})
    words = {"vocab": vocabulary(), "stop_words": [], "do_lower_case": False}
    write_json(module / "whitespacetokenizer_config.json", words)
    torch.save({"emb_layer.weight": torch.randn(WORDS, WIDTH)}, module / "pytorch_model.bin")
    write_modules(folder, ("0_WordEmbeddings", "WordEmbeddings"), ("1_Pooling", "Pooling"))
    write_pooling(folder, WIDTH)


def main() -> None:
    """Run the race and print a table."""
    rounds = parser(__doc__, rounds=5).parse_args().rounds
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for name, texts in SETS.items():
            makers: dict[str, Maker] = {
                "sentence-transformers": SentenceTransformers(texts, folder),
                "st-spark": StSpark(texts, folder),
            }
            results = race(makers, rounds)
            peer, count = results["sentence-transformers"], len(texts())
            for who, result in results.items():
                faster = f"{result.times_faster_than(peer):.1f}"
                rows.append([name, who, f"{result.rate(count):,.0f}", faster, f"{result.peak_mb:,.0f}"])
    print(table([f"{WORDS:,} x {WIDTH}", "", "texts/s", "x peer", "peak MB"], rows))


if __name__ == "__main__":
    main()

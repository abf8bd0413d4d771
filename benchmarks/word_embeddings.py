"""A word model of 400,000 words in 300 dimensions against sentence-transformers' own; no Spark.

    python -m benchmarks.word_embeddings [--rounds 5]

The table is random, as speed does not depend on what is in it. The words of the demo's texts stand in it at random
places among made-up ones; "made-up" texts draw 16 words each from all of it, by Zipf's law. Both sides use 2 threads.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.race import Maker, race, table
from benchmarks.texts import passages, phrases

WORDS, WIDTH = 400_000, 300


@cache
def vocabulary() -> list[str]:
    """The words of the demo's texts and made-up ones, in random order, behind the padding word of old saves."""
    rng = np.random.default_rng(0)
    real = {word.strip(".,;:!?()\"'").lower() for text in passages(5000) for word in text.split()} - {""}
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    drawn = ("".join(row) for row in letters[rng.integers(0, 26, (2 * WORDS, 8))])
    words = list(dict.fromkeys([*sorted(real), *drawn]))[: WORDS - 1]
    return ["PADDING_TOKEN", *rng.permutation(words).tolist()]


def made_up(count: int) -> list[str]:
    """Sentences of 16 words by Zipf's law."""
    ranks = np.random.default_rng(1).zipf(1.2, (count, 16)) % (WORDS - 1) + 1
    words = np.array(vocabulary(), dtype=object)
    return [" ".join(row).capitalize() + "." for row in words[ranks]]


SETS: dict[str, Callable[[], list[str]]] = {
    "passages": lambda: passages(5000),
    "phrases": lambda: phrases(9900),
    "made-up": lambda: made_up(40_000),
}


def write(folder: Path) -> None:
    """The layout of average_word_embeddings_glove.6B.300d."""
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


@dataclass(frozen=True)
class Ours:
    """st_spark.SentenceTransformer.encode over one set of texts."""

    folder: Path
    texts: str

    def __call__(self) -> Callable[[], object]:
        """Loads the model; returns what encodes."""
        from st_spark import SentenceTransformer

        model, texts = SentenceTransformer(self.folder, device="cpu", threads=2), SETS[self.texts]()
        return lambda: model.encode(texts)


@dataclass(frozen=True)
class Theirs:
    """sentence-transformers' encode, everything at its default."""

    folder: Path
    texts: str

    def __call__(self) -> Callable[[], object]:
        """Loads the model; returns what encodes."""
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(2)
        model, texts = SentenceTransformer(str(self.folder), device="cpu"), SETS[self.texts]()
        return lambda: model.encode(texts)


def main() -> None:
    """Runs the race and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for name, texts in SETS.items():
            makers: dict[str, Maker] = {
                "sentence-transformers": Theirs(Path(folder), name),
                "st-spark": Ours(Path(folder), name),
            }
            results = race(makers, rounds)
            peer, count = results["sentence-transformers"], len(texts())
            for who, result in results.items():
                faster = f"{result.times_faster_than(peer):.1f}"
                rows.append([name, who, f"{result.rate(count):,.0f}", faster, f"{result.peak_mb:,.0f}"])
    print(table([f"{WORDS:,} x {WIDTH}", "", "texts/s", "x peer", "peak MB"], rows))


if __name__ == "__main__":
    main()

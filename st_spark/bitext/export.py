"""Pairs of texts as files for people: TSV for spreadsheets, TMX 1.4 for translation tools. No Spark.

Both are written as pairs come, none of them held, and under another name until they are whole.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from xml.sax.saxutils import escape, quoteattr

from st_spark._version import __version__
from st_spark.errors import InputError

# What no XML 1.0 document may hold, not even escaped.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What begins a new cell or line somewhere.
_BREAKS = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")

Pair = Mapping[str, Any]


@dataclass(frozen=True)
class TsvFile:
    """A line for each pair, and a head: score, source, target, source_id, target_id. Tabs and breaks become a space."""

    path: Path

    def head(self) -> str:
        """What stands before the pairs."""
        return "score\tsource\ttarget\tsource_id\ttarget_id\n"

    def line(self, pair: Pair) -> str:
        """A pair."""
        cells = [f"{pair['score']:.6f}"]
        names = ("source_text", "target_text", "source_id", "target_id")
        return "\t".join([*cells, *(_BREAKS.sub(" ", str(pair[name])) for name in names)]) + "\n"

    def tail(self) -> str:
        """What stands after the pairs."""
        return ""


@dataclass(frozen=True)
class TmxFile:
    """A translation unit for each pair, with its score and ids as properties.

    Raises:
        InputError: A language that is no tag such as de, pt-BR or zh-Hant.
    """

    path: Path
    source_language: str
    target_language: str

    def __post_init__(self) -> None:
        """Checks the languages."""
        for language in (self.source_language, self.target_language):
            if not _LANGUAGE.fullmatch(language):
                raise InputError(f"{language!r} is no tag of a language.", "write one such as de, pt-BR or zh-Hant.")

    def head(self) -> str:
        """What stands before the units."""
        about = {
            "creationtool": "st-spark",
            "creationtoolversion": __version__,
            "segtype": "sentence",
            "o-tmf": "st-spark",
            "adminlang": "en",
            "srclang": self.source_language,
            "datatype": "plaintext",
        }
        attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in about.items())
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'
            f'<tmx version="1.4">\n<header {attributes}/>\n<body>\n'
        )

    def line(self, pair: Pair) -> str:
        """A translation unit."""
        about = {"score": f"{pair['score']:.6f}", "source-id": pair["source_id"], "target-id": pair["target_id"]}
        facts = "".join(f'<prop type="x-{name}">{_xml(value)}</prop>' for name, value in about.items())
        texts = ((self.source_language, pair["source_text"]), (self.target_language, pair["target_text"]))
        units = "".join(f'<tuv xml:lang="{language}"><seg>{_xml(text)}</seg></tuv>' for language, text in texts)
        return f"<tu>{facts}{units}</tu>\n"

    def tail(self) -> str:
        """What stands after the units."""
        return "</body>\n</tmx>\n"


def write(pairs: Iterable[Pair], files: Iterable[TsvFile | TmxFile]) -> None:
    """Writes pairs to all files in one pass.

    Args:
        pairs: Each with score, source_text, target_text, source_id and target_id.
        files: What to write; files that are there are replaced.
    """
    with ExitStack() as stack:
        adding = [stack.enter_context(_opened(each)) for each in files]
        for pair in pairs:
            for add in adding:
                add(pair)


@contextmanager
def _opened(file: TsvFile | TmxFile) -> Iterator[Callable[[Pair], object]]:
    partial = file.path.with_name(f".{file.path.name}.partial")
    out: TextIO
    with partial.open("w", encoding="utf-8", errors="replace", newline="\n") as out:
        out.write(file.head())
        yield lambda pair: out.write(file.line(pair))
        out.write(file.tail())
    partial.replace(file.path)


def _xml(value: object) -> str:
    return escape(_NO_XML.sub("", str(value)))

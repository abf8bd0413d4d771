"""Write pairs of texts to files for people: TSV for spreadsheets, TMX 1.4 for translation tools. No Spark.

Pairs are written as they come and not kept in memory. A file gets its name when it is complete.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from st_spark._version import __version__
from st_spark.errors import InputError

# Characters that XML 1.0 forbids, even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Characters that some program reads as the end of a cell or line.
_BREAKS = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")

Pair = Mapping[str, Any]


@dataclass(frozen=True)
class TsvFile:
    """A header and one line per pair: score, source, target, source_id, target_id. Tabs and breaks become a space."""

    path: Path
    header: ClassVar = "score\tsource\ttarget\tsource_id\ttarget_id\n"
    footer: ClassVar = ""

    def line(self, pair: Pair) -> str:
        """Return the text of a pair."""
        names = ("source_text", "target_text", "source_id", "target_id")
        return "\t".join([f"{pair['score']:.6f}", *(_BREAKS.sub(" ", str(pair[name])) for name in names)]) + "\n"


@dataclass(frozen=True)
class TmxFile:
    """One translation unit per pair, with its score and ids as properties.

    Raises:
        InputError: A language is not a tag such as de, pt-BR or zh-Hant.
    """

    path: Path
    source_language: str
    target_language: str
    footer: ClassVar = "</body>\n</tmx>\n"

    def __post_init__(self) -> None:
        """Check the languages."""
        for language in (self.source_language, self.target_language):
            if not _LANGUAGE.fullmatch(language):
                raise InputError(f"{language!r} is not a language tag.", "write one such as de, pt-BR or zh-Hant.")

    @property
    def header(self) -> str:
        """The text before the pairs."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4">\n'
            f'<header creationtool="st-spark" creationtoolversion="{__version__}" segtype="sentence" o-tmf="st-spark" '
            f'adminlang="en" srclang="{self.source_language}" datatype="plaintext"/>\n<body>\n'
        )

    def line(self, pair: Pair) -> str:
        """Return the translation unit of a pair."""
        facts = {"score": f"{pair['score']:.6f}", "source-id": pair["source_id"], "target-id": pair["target_id"]}
        properties = "".join(f'<prop type="x-{name}">{_xml(value)}</prop>' for name, value in facts.items())
        texts = ((self.source_language, pair["source_text"]), (self.target_language, pair["target_text"]))
        units = "".join(f'<tuv xml:lang="{language}"><seg>{_xml(text)}</seg></tuv>' for language, text in texts)
        return f"<tu>{properties}{units}</tu>\n"


def write(pairs: Iterable[Pair], files: Sequence[TsvFile | TmxFile]) -> None:
    """Write pairs to all files in one pass. Existing files are replaced.

    Args:
        pairs: Each with score, source_text, target_text, source_id and target_id.
        files: The files.
    """
    partial = [file.path.with_name(f".{file.path.name}.partial") for file in files]
    with ExitStack() as stack:
        opened = (path.open("w", encoding="utf-8", errors="replace", newline="\n") for path in partial)
        outputs = [(file, stack.enter_context(out)) for file, out in zip(files, opened, strict=True)]
        for file, out in outputs:
            out.write(file.header)
        for pair in pairs:
            for file, out in outputs:
                out.write(file.line(pair))
        for file, out in outputs:
            out.write(file.footer)
    for file, path in zip(files, partial, strict=True):
        path.replace(file.path)


def _xml(value: object) -> str:
    return escape(_NOT_XML.sub("", str(value)))

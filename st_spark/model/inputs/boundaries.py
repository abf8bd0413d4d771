"""Where a text may be cut: at the end of a sentence, else between words, else between characters.

A character is what a reader sees as one: a letter with its accents, a flag, a family of emoji (Unicode's extended
grapheme clusters). White space belongs to the words before it.
"""

from collections.abc import Iterator

import regex

# A sentence ends at its mark and the closing quotes and brackets after it, before white space; a small letter after
# that continues the sentence, and so does what follows a title or an initial. Chinese and Japanese marks need no white
# space. An empty line ends a sentence, too. No pattern reads the same characters again from each place in a long run.
_SENTENCE_END = regex.compile(
    r"""
    (?<! [\p{STerm}…] | \b(?:Mr|Mrs|Ms|Dr|Prof|St) | \b\p{Lu} ) [\p{STerm}…]++ [\p{Pe}\p{Pf}\p{Pi}"']*+ \s++ (?!\p{Ll})
    | [。！？｡．]++ [\p{Pe}\p{Pf}"']*+ \s*+
    | (?<!\s) [^\S\n]*+ \n [^\S\n]*+ \n \s*+
    """,
    regex.VERBOSE,
)
_SPACES = regex.compile(r"\s++")
_CHARACTER = regex.compile(r"\X")
# What belongs to the character before it: accents also follow spaces.
_PART = regex.compile(r"[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]")
# How far a pattern looks beyond the last place to cut, to see that a character or a run of white space goes on.
_BEYOND = 64


def last_cut(text: str, start: int, low: int, high: int) -> int:
    """Return the best place to cut a text: the last end of a sentence behind `low` or, without one, of a word.

    Without any of both, it is the last end of a character behind `start`, and `high` if one character is longer.

    Args:
        text: The text.
        start: Where the part to cut begins; no character crosses it.
        low: The end of a sentence or a word must be behind this place.
        high: The last possible place, behind `low`.
    """
    if high >= len(text):
        return len(text)
    for pattern, first in ((_SENTENCE_END, low), (_SPACES, low), (_CHARACTER, start)):
        place = max((end for end in _ends(pattern, text, first, high) if first < end), default=None)
        if place is not None:
            return place
    return high


def first_start(text: str, start: int, low: int, high: int) -> int:
    """Return the best place to begin from `low` to `high`: the first start of a sentence, if it is in the first half.

    Else it is the first start of a word, or of a character, and `high` if there is none before.

    Args:
        text: The text.
        start: A place before `low` that no character crosses.
        low: The first possible place.
        high: The last possible place.
    """
    before = max(low - 1, start)
    middle = (low + high) // 2
    for pattern, first, last in ((_SENTENCE_END, before, middle), (_SPACES, before, high), (_CHARACTER, start, high)):
        place = next((end for end in _ends(pattern, text, first, last) if low <= end), None)
        if place is not None:
            return place
    return high


def _ends(pattern: "regex.Pattern[str]", text: str, first: int, last: int) -> Iterator[int]:
    """Yield where the matches from a place on end, up to `last`, except inside of a character."""
    for found in pattern.finditer(text, first, min(last + _BEYOND, len(text))):
        if found.end() <= last and not _PART.match(text, found.end()):
            yield found.end()


def after_spaces(text: str, place: int, most: int) -> int:
    """Return where the white space at a place ends, at most `most`."""
    found = _SPACES.match(text, place, max(most, place))
    return found.end() if found else place

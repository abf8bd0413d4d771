"""Which texts, and which pairs of texts, can be translations at all. SQL expressions alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.bitext.columns import LANGUAGE, TEXT
from st_spark.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import Column

# Ideographs, kana and hangul say about as much as two letters.
_WIDE = r"[^\p{IsHan}\p{IsHiragana}\p{IsKatakana}\p{IsHangul}]+"
_SYMBOLS = r"[^\p{N}\p{P}\p{S}]+"
_LETTERS = r"[^\p{L}\p{M}]+"


@dataclass(frozen=True)
class TextFilters:
    """What is left out where texts are given.

    Attributes:
        min_chars: Shortest text, in characters without the spaces around it.
        max_chars: Longest text.
        max_symbols: Largest share of digits, punctuation and symbols among the characters that are no spaces.
        max_ratio: How many times as wide as the other one text of a pair may be; ideographs, kana and hangul count for
            two letters.
        max_alike: Largest share of equal letters: 1 less the edit distance by the longer text, where case, digits,
            spaces and punctuation do not count. Above it a pair is a copy and no translation; 1 keeps all.

    Raises:
        InputError: A value that cannot work.
    """

    min_chars: int = 10
    max_chars: int = 500
    max_symbols: float = 0.5
    max_ratio: float = 3.0
    max_alike: float = 0.9

    def __post_init__(self) -> None:
        """Checks the fields."""
        if not 0 <= self.min_chars <= self.max_chars:
            raise InputError(
                f"Texts of {self.min_chars} to {self.max_chars} characters are asked for.", "give 0 <= min <= max."
            )
        if not self.max_ratio >= 1:
            raise InputError(f"max_ratio is {self.max_ratio}.", "give 1 or more.")
        for name in ("max_symbols", "max_alike"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}.", "give a share from 0 to 1.")

    def unfit(self, language: str | None) -> "Column":
        """Why a row with TEXT (and LANGUAGE) is left out, null for most: the first reason that there is.

        Args:
            language: The one that LANGUAGE must be, None if there is no such column.
        """
        text, plain = sf.col(TEXT), sf.regexp_replace(TEXT, r"\s+", "")
        chars = sf.char_length(sf.trim(text))
        symbols = sf.char_length(sf.regexp_replace(text, _SYMBOLS, ""))
        why = sf.when(text.isNull(), "no text")
        if language is not None:
            why = why.when(~sf.coalesce(sf.col(LANGUAGE) == language, sf.lit(False)), "other language")
        why = why.when(chars < self.min_chars, "too short").when(chars > self.max_chars, "too long")
        return why.when(symbols > self.max_symbols * sf.char_length(plain), "digits and punctuation")

    def unfit_pair(self, source: str, target: str) -> "Column":
        """Why a pair is left out, null for most; see the names of WIDTH and LETTERS.

        Args:
            source: Prefix of the columns that measures() gives of the source row.
            target: The same of the target row.
        """
        widths = [sf.col(each + "width") for each in (source, target)]
        letters = [sf.col(each + "letters") for each in (source, target)]
        sizes = [sf.char_length(each) for each in letters]
        longer, shorter = (pick(*sizes) for pick in (sf.greatest, sf.least))
        changed = longer * (1 - self.max_alike)  # so many letters make another text
        most = sf.ceil(changed).cast("int")
        # With a bound it looks along the diagonal alone, and says -1 beyond.
        distance = sf.call_function("levenshtein", *letters, most)
        copy = (longer - shorter < changed) & (distance >= 0) & (distance < changed)
        wide = sf.greatest(*widths) > self.max_ratio * sf.least(*widths)
        return sf.when(copy, "copy").when(wide, "length ratio")


def same_text() -> "Column":
    """What is equal for texts that differ in spaces alone."""
    return sf.regexp_replace(sf.trim(sf.col(TEXT)), r"\s+", " ")


def measures(prefix: str) -> "list[Column]":
    """Of a row with TEXT, what unfit_pair() compares."""
    wide = sf.char_length(sf.regexp_replace(TEXT, _WIDE, ""))
    letters = sf.lower(sf.regexp_replace(TEXT, _LETTERS, ""))
    return [(sf.char_length(TEXT) + wide).alias(prefix + "width"), letters.alias(prefix + "letters")]

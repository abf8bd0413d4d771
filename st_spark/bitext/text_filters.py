"""Reject texts, and pairs of texts, that cannot be translations. SQL expressions only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.bitext.corpus import LANGUAGE, TEXT
from st_spark.errors import InputError
from st_spark.tables.columns import SPACES

if TYPE_CHECKING:
    from pyspark.sql import Column

# An ideograph, kana or hangul syllable carries about as much text as two letters.
_NOT_WIDE = r"[^\p{IsHan}\p{IsHiragana}\p{IsKatakana}\p{IsHangul}]+"
_NOT_SYMBOLS = r"[^\p{N}\p{P}\p{S}]+"
_NOT_LETTERS = r"[^\p{L}\p{M}]+"


@dataclass(frozen=True)
class TextFilters:
    """Limits for texts and for pairs of texts.

    Attributes:
        min_chars: Shortest text, in characters without leading and trailing spaces.
        max_chars: Longest text.
        max_symbols: Largest share of digits, punctuation and symbols among the characters other than spaces.
        max_ratio: Largest ratio of the lengths of both texts of a pair; an ideograph, kana or hangul syllable counts as
            two characters.
        max_alike: Largest similarity of both texts of a pair: 1 - edit distance / length of the longer text, over
            letters only and without case. A more similar pair is a copy, not a translation; 1 keeps all pairs.

    Raises:
        InputError: A value is not valid.
    """

    min_chars: int = 10
    max_chars: int = 500
    max_symbols: float = 0.5
    max_ratio: float = 3.0
    max_alike: float = 0.9

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 0 <= self.min_chars <= self.max_chars:
            raise InputError(f"min_chars is {self.min_chars}, max_chars {self.max_chars}.", "give 0 <= min <= max.")
        if not self.max_ratio >= 1:
            raise InputError(f"max_ratio is {self.max_ratio}.", "give 1 or more.")
        for name in ("max_symbols", "max_alike"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}.", "give a share from 0 to 1.")

    def reason(self, language: str | None) -> "Column":
        """Return why a row with TEXT is rejected: the first reason that applies, null for most rows.

        Args:
            language: The language that LANGUAGE must have; None if there is no such column.
        """
        text, without_spaces = sf.col(TEXT), sf.regexp_replace(TEXT, SPACES, "")
        chars = sf.char_length(sf.regexp_replace(text, f"{SPACES}$|^{SPACES}", ""))
        symbols = sf.char_length(sf.regexp_replace(text, _NOT_SYMBOLS, ""))
        why = sf.when(text.isNull(), "no text")
        if language is not None:
            why = why.when(~sf.coalesce(sf.col(LANGUAGE) == language, sf.lit(False)), "other language")
        why = why.when(chars < self.min_chars, "too short").when(chars > self.max_chars, "too long")
        return why.when(symbols > self.max_symbols * sf.char_length(without_spaces), "digits and punctuation")

    def pair_reason(self, source: str, target: str) -> "Column":
        """Return why a pair is rejected, null for most pairs.

        Args:
            source: Prefix of the columns that pair_measures() gives for the source text.
            target: Prefix of the columns for the target text.
        """
        widths = [sf.col(prefix + "width") for prefix in (source, target)]
        letters = [sf.col(prefix + "letters") for prefix in (source, target)]
        sizes = [sf.char_length(each) for each in letters]
        longer, shorter = sf.greatest(*sizes), sf.least(*sizes)
        changed = longer * (1 - self.max_alike)  # this many changed letters make another text
        # With a limit, levenshtein() is much cheaper; it returns -1 beyond the limit.
        distance = sf.call_function("levenshtein", *letters, sf.ceil(changed).cast("int"))
        copy = (longer - shorter < changed) & (distance >= 0) & (distance < changed)
        ratio = sf.greatest(*widths) > self.max_ratio * sf.least(*widths)
        return sf.when(copy, "copy").when(ratio, "length ratio")


def normalized_text() -> "Column":
    """Return TEXT with single spaces: equal for texts that differ only in spaces."""
    return sf.trim(sf.regexp_replace(TEXT, SPACES, " "))


def pair_measures(prefix: str) -> "list[Column]":
    """Return the columns of a row with TEXT that TextFilters.pair_reason() compares."""
    wide = sf.char_length(sf.regexp_replace(TEXT, _NOT_WIDE, ""))
    letters = sf.lower(sf.regexp_replace(TEXT, _NOT_LETTERS, ""))
    return [(sf.char_length(TEXT) + wide).alias(prefix + "width"), letters.alias(prefix + "letters")]

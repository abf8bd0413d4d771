"""Phrases as words: "New York" is looked up as "New_York" where the vocabulary has it."""

from collections.abc import Sequence

from st_spark.errors import ModelError


class Phrases:
    """Splits by NLTK's word_tokenize, and joins neighbours that are a phrase of the vocabulary.

    Args:
        vocab: The words and phrases.
        separator: What stands between the words of a phrase; None for no phrases.
        longest: Most words of a phrase.

    Raises:
        ModelError: NLTK is not installed.
    """

    def __init__(self, vocab: Sequence[str], separator: str | None, longest: int) -> None:
        try:
            from nltk import word_tokenize
        except ImportError as error:
            raise ModelError(
                "this model's PhraseTokenizer splits texts with the package nltk, which is not installed.",
                "`pip install nltk` here and on the executors.",
            ) from error
        self._split = word_tokenize
        self._separator = separator or ""
        inside = [word for word in vocab if separator and separator in word and separator * 2 not in word]
        self._phrases = {word for word in inside if word.count(self._separator) < longest}
        self._lengths = sorted({word.count(self._separator) + 1 for word in self._phrases}, reverse=True)

    def __call__(self, text: str) -> list[str]:
        """The words and phrases of a text, the longest phrases first."""
        words: list[str] = self._split(text, preserve_line=True)
        for length in self._lengths:
            place = 0
            while place <= len(words) - length:
                phrase = self._separator.join(words[place : place + length])
                known = phrase if phrase in self._phrases else phrase.lower()
                if known in self._phrases:
                    words[place : place + length] = [known]
                place += 1
        return words

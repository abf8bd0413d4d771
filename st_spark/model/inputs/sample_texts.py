"""Texts to try a model on: a few real ones in several languages, and random ones that reach its whole vocabulary."""

from typing import Any

import numpy as np

TEXTS = (
    "A cat sleeps on the warm roof of an old car.",
    "The parcel has not arrived, and nobody answers the phone.",
    "How do I change the address of an order that was already sent?",
    "refund",
    "Prices of copper fell by 3.5% on Monday, to $8,412 a tonne.",
    "Where is the nearest station?",
    "def mean(values): return sum(values) / len(values)",
    "The river was so cold that the children ran back to their towels, laughed, and shared what was left of the bread.",
    "Der Zug nach Zürich fährt heute von Gleis sieben.",
    "El perro duerme debajo de la mesa.",
    "今日はとても暑いです。",
    "Мы встретились на мосту поздно вечером.",
)
_RANDOM, _TOKENS = 32, 8


def random_texts(auto: Any) -> list[str]:  # noqa: ANN401  (a tokenizer of transformers, of any class)
    """Return texts of random tokens, the same ones in each process."""
    ids = np.random.default_rng(0).integers(0, len(auto), (_RANDOM, _TOKENS))
    return [auto.decode(row.tolist(), skip_special_tokens=True) for row in ids]

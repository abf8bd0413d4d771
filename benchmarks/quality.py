"""Precision, recall and F1 of one threshold."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """How good the pairs of one threshold are."""

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

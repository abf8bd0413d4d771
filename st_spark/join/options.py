"""What is asked of a join, checked when made."""

import math
from dataclasses import dataclass

from st_spark.choices import METHODS, OVERFLOWS, SCORES
from st_spark.errors import InputError


@dataclass(frozen=True)
class Request:
    """What is asked of a join; similarity.similarity_join() says what the fields mean.

    Raises:
        InputError: A value that cannot work.
    """

    k: int | None = 10
    threshold: float | None = None
    score: str = "cosine"
    method: str = "exact"
    recall: float = 0.95
    max_pairs: int = 100_000_000
    overflow: str = "error"

    def __post_init__(self) -> None:
        """Checks the fields."""
        if self.k is None and self.threshold is None:
            raise InputError(
                "Neither k nor a threshold is given.", "give k=10 for neighbours or threshold=0.9 for pairs."
            )
        if self.k is not None and self.k < 1:
            raise InputError(f"k is {self.k}.", "ask for 1 neighbour or more, or for k=None with a threshold.")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise InputError(f"The threshold is {self.threshold}.", "give a number.")
        for name, allowed in (("score", SCORES), ("method", METHODS), ("overflow", OVERFLOWS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}={getattr(self, name)!r} is unknown.", f"choose one of {', '.join(allowed)}.")
        if not 0 < self.recall <= 1:
            raise InputError(f"recall is {self.recall}.", "give a share of the true neighbours, above 0 and up to 1.")
        if self.max_pairs < 1:
            raise InputError(f"max_pairs is {self.max_pairs}.", "allow 1 pair or more.")

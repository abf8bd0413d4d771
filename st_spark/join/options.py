"""The options of a join, and the sizes of its tasks."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from st_spark.choices import METHODS, OVERFLOWS, SCORES
from st_spark.errors import InputError, check_choice, check_count, check_number
from st_spark.tables.metadata import column_metadata

if TYPE_CHECKING:
    from pyspark.sql import Column

    from st_spark.topk.coarse_quantizer import CoarseQuantizer

# The best possible scores. A threshold above them is a mistake.
_BEST = {"cosine": 1.0, "euclidean": 0.0}


@dataclass(frozen=True)
class Settings:
    """Sizes of tasks. They change memory and speed, and never the result of an exact join."""

    task_bytes: int = 1 << 30  # Bytes that the vectors of a task of an exact join may take, with their quantised values
    # Left and right blocks of an exact join, and of each large key; None for the cheapest
    grid: tuple[int, int] | None = None
    # Maximum number of tasks of a shuffle. Spark keeps a record for each pair of writing and reading task.
    max_tasks: int = 20_000
    partition_bytes: int = 1 << 27  # Bytes of the vectors in a partition of inverted lists
    min_partition_bytes: int = 1 << 22  # A smaller partition is not worth a task
    max_left: float = 2.0  # Left rows of a task of an approximate join, as a share of the rows of a partition


@dataclass(frozen=True)
class Request:
    """The options of a join. See similarity_join.similarity_join() for the fields.

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
    settings: Settings = field(default_factory=Settings)
    # The lists that the right table has already, if it is an index of build_index(); else "ivf" makes lists
    quantizer: "CoarseQuantizer | None" = None

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.k is None and self.threshold is None:
            raise InputError(
                "Neither k nor a threshold is given.", "give k=10 for neighbours or threshold=0.9 for pairs."
            )
        if self.k is not None:
            check_count("k", self.k)
        if self.threshold is not None:
            check_number("threshold", self.threshold)
            if math.isinf(self.threshold):
                raise InputError(f"threshold is {self.threshold}.", "give a finite number.")
        for name, allowed in (("score", SCORES), ("method", METHODS), ("overflow", OVERFLOWS)):
            check_choice(name, getattr(self, name), allowed)
        check_number("recall", self.recall)
        if not 0 < self.recall <= 1:
            raise InputError(f"recall is {self.recall}.", "give a share of the true neighbours, above 0 and up to 1.")
        check_count("max_pairs", self.max_pairs)


def check_reachable(threshold: float, score: str) -> None:
    """Check that a score can reach the threshold; InputError if not."""
    best = _BEST.get(score)
    if best is not None and threshold > best:
        hint = "; it is minus the distance" if score == "euclidean" else ""
        raise InputError(
            f"No {score} score reaches the threshold {threshold}.", f"give a threshold of at most {best}{hint}."
        )


def described(score: "Column", facts: dict[str, Any]) -> "Column":
    """Return the score column with the facts as metadata, without the number of tasks: it differs between runs."""
    return score.alias("score", metadata=column_metadata(facts | {"tasks": None}))

"""Collect all that is wrong with a checkpoint, so that one error can say it."""

from collections.abc import Iterator
from contextlib import contextmanager

from st_spark.errors import ModelError


class Faults:
    """The errors found so far.

    Attributes:
        found: In the order in which they were found; an error that was found twice is listed once.
    """

    def __init__(self) -> None:
        self.found: list[ModelError] = []

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Keep a ModelError that is raised inside, and go on after the block."""
        try:
            yield
        except ModelError as error:
            known = set(map(str, self.found))
            self.found += [part for part in error.parts or (error,) if str(part) not in known]

    def check(self) -> None:
        """Raise what was found: the error itself if it is one, else one error that lists them all."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            listed = " ".join(f"{place}. {error}" for place, error in enumerate(self.found, 1))
            together = ModelError(f"{len(self.found)} things are wrong. {listed}", "mend all of them.")
            together.parts = tuple(self.found)
            raise together

"""One base error; every message says what is wrong, with which value, and the fix."""

import difflib
from collections.abc import Iterable


class StSparkError(Exception):
    """Base of all errors that st-spark raises on purpose.

    Args:
        problem: What is wrong, with the value and the place.
        fix: What the reader can do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem, fix)  # both as args, so that the error survives pickling to the driver
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        """One line: the problem, then the fix."""
        return f"{self.problem} Fix: {self.fix}"


class ModelError(StSparkError):
    """A model that cannot be found, read or trusted."""


class InputError(StSparkError, ValueError):
    """Data or an argument that no work can start from."""


class TableError(StSparkError):
    """A table that cannot be read or written as asked."""


class SpecError(StSparkError, ValueError):
    """A job specification that contradicts itself or misses something."""


class PlatformError(StSparkError):
    """Something missing around us: Java, a package of the workers, a jar, a device."""


def close(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to a mistyped one, None if none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for a mistyped name, "" if no known name is near."""
    near = close(name, known)
    return f" (did you mean {near!r}?)" if near else ""

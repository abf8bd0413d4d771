"""The errors of st-spark. Each message names the problem, the value, and the fix."""

import difflib
import math
from collections.abc import Collection, Iterable
from numbers import Integral, Real


class StSparkError(Exception):
    """Base of all errors of st-spark.

    Args:
        problem: What is wrong, with the value and the place.
        fix: What the user can do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem, fix)  # both are args, so that the error survives pickling to the driver
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        """Return the problem and the fix as one line."""
        return f"{self.problem} Fix: {self.fix}"


class ModelError(StSparkError):
    """A model that cannot be found, read or trusted."""


class InputError(StSparkError, ValueError):
    """Data or an argument that cannot be used."""


class TableError(StSparkError):
    """A table that cannot be read or written."""


class SpecError(StSparkError, ValueError):
    """A job with a missing or a wrong field, or with fields that contradict each other."""


class PlatformError(StSparkError):
    """A missing part of the system: Java, a package of the workers, a jar, a device."""


def check_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """Check that an option has one of its allowed values; InputError if not."""
    if value not in allowed:
        raise InputError(f"{name}={value!r} is unknown.", f"choose one of {', '.join(allowed)}.")


def check_count(name: str, value: object, least: int = 1) -> None:
    """Check that an option is a whole number, `least` or more; InputError if not. True and 2.0 are none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} is {value!r}.", f"give a whole number, {least} or more.")


def check_number(name: str, value: object) -> None:
    """Check that an option is a number; InputError if not. True and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(float(value)):
        raise InputError(f"{name} is {value!r}.", "give a number.")


def close(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a mistyped one, None if none is similar."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for a mistyped name, "" if no known name is similar."""
    near = close(name, known)
    return f" (did you mean {near!r}?)" if near else ""

"""The errors of st-spark. Each message names the problem, the value, and the fix."""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Set
from numbers import Integral, Real
from typing import Any

# The name and the secret in a URI, as in s3a://KEY:SECRET@bucket. A number after the colon is a port.
_SECRET = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s@:]*:(?!\d+(?:/|$))\S*@")


class StSparkError(Exception):
    """Base of all errors of st-spark.

    Args:
        problem: What is wrong, with the value and the place.
        fix: What the user can do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        problem = mask_secrets(problem)
        super().__init__(problem, fix)  # both are args, so that the error survives pickling to the driver
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        """Return the problem and the fix as one line."""
        return f"{self.problem} Fix: {self.fix}"


class ModelError(StSparkError):
    """A model that cannot be found, read or trusted.

    Attributes:
        parts: One error for each thing that is wrong, if there are several.
    """

    parts: "tuple[ModelError, ...]" = ()


class InputError(StSparkError, ValueError):
    """Data or an argument that cannot be used."""


class TableError(StSparkError):
    """A table that cannot be read or written."""


class RecipeError(TableError):
    """A table was made by another model, or with other options."""


class BusyError(StSparkError):
    """A table that another job writes at this moment. To run the job again later can succeed."""


class SpecError(StSparkError, ValueError):
    """A job with a missing or a wrong field, or with fields that contradict each other."""


class PlatformError(StSparkError):
    """A missing part of the system: Java, a package of the workers, a jar, a device."""


def mask_secrets(text: str) -> str:
    """Return a text with *** for the names and secrets in its URIs."""
    return _SECRET.sub(r"\1***@", text)


def check_no_secret(name: str, path: str) -> None:
    """Check that a path holds no secret: logs and web pages would show it. SpecError if it does."""
    if mask_secrets(path) != path:
        raise SpecError(
            f"{name} is {path}: it holds a name and a secret.",
            "give the path without them, and the credentials in spark-defaults.conf (for S3 "
            "spark.hadoop.fs.s3a.access.key and .secret.key), or in the environment of the Spark machines.",
        )


def check_text(name: str, value: str, kind: type[StSparkError] = InputError) -> None:
    """Check that UTF-8 can store a text; an error with the place of half a surrogate pair if not."""
    if half := re.search("[\ud800-\udfff]", value):
        problem = f"{name} has half a surrogate pair, {half[0]!a}, at character {half.start()}."
        raise kind(problem, "decode it again, as UTF-8, or remove the character.")


def check_list(name: str, values: Any) -> tuple[Any, ...]:  # noqa: ANN401  (that is what it checks)
    """Return a list of values, or one str, as a tuple; InputError if they have no order or are no list."""
    if isinstance(values, str):
        return (values,)
    if isinstance(values, Set | Mapping) or not isinstance(values, Iterable):
        raise InputError(f"{name} is a {type(values).__name__}.", "give a list.")
    return tuple(values)


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


def check_margin(margin: str, threshold: float, kind: type[StSparkError] = InputError) -> None:
    """Check that a score of this margin can be above the threshold; an error if not."""
    if margin != "ratio" and threshold >= 1:
        raise kind(
            f"The {margin!r} margin is never above {threshold:g}.",
            "give a lower threshold: the default, 1.06, is for ratios.",
        )


def close(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a mistyped one, None if none is similar."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for a mistyped name, "" if no known name is similar."""
    near = close(name, known)
    return f" (did you mean {near!r}?)" if near else ""

"""The fields of a job as keyword arguments of its operator, and back: templates give text, fields have types."""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from st_spark.errors import SpecError
from st_spark.specs.base import Job

_YES_AND_NO = {"true": True, "false": False}


def names(kind: type[Job]) -> tuple[str, ...]:
    """The names of a job's fields."""
    return tuple(each.name for each in fields(kind))


def signature(kind: type[Job]) -> inspect.Signature:
    """That of an operator: the fields of its job by keyword, and the arguments of all operators.

    Airflow reads it for default_args, for partial().expand(), and for what is missing.
    """
    own = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=each.type,
        )
        for each in fields(kind)
    ]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([first, *own, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])


def described(kind: type[Job]) -> str:
    """The fields as the Args of a docstring."""
    lines = []
    for each in fields(kind):
        told = "needed" if each.default is MISSING else f"default: {each.default!r}"
        lines.append(f"    {each.name}: {each.metadata['help'].replace('--', '')} ({told}).")
    return "\n".join(lines)


def job(kind: type[Job], given: Mapping[str, Any]) -> Job:
    """The job of rendered arguments.

    Raises:
        SpecError: A wrong or a missing value.
    """
    by_name = {each.name: each for each in fields(kind)}
    values = {name: _typed(by_name[name], value) for name, value in given.items()}
    return kind.from_fields({name: value for name, value in values.items() if value is not MISSING})


def _typed(field: Field[Any], value: object) -> object:
    """A value of the field's type from the text of a template; MISSING for the "None" of an optional parameter."""
    if isinstance(value, list | tuple):
        return tuple(_typed(field, each) for each in value)
    if value in (None, "", "None") and field.default is not MISSING:
        return MISSING
    kind = field.metadata["kind"]
    if not isinstance(value, str) or kind is str:
        return value
    try:
        return _YES_AND_NO[value.strip().lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        wanted = "True or False" if kind is bool else f"a number ({kind.__name__})"
        raise SpecError(f"{field.name} is {value!r}.", f"give {wanted}.") from None

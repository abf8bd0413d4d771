"""The fields of a job as the keyword arguments of its operator. Rendered templates are text: it is converted here."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field
from typing import Any

from st_spark.errors import SpecError
from st_spark.specs.base import TYPE_NAMES, Job, help_text, value_type

_BOOLEANS = {"true": True, "false": False}


def names(kind: type[Job]) -> tuple[str, ...]:
    """Return the names of a job's fields."""
    return tuple(each.name for each in kind.options())


def signature(kind: type[Job]) -> inspect.Signature:
    """Return the signature of an operator: the fields of its job as keyword arguments, and **kwargs.

    Airflow uses it for default_args, for partial().expand(), and to find missing arguments.
    """
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    own = inspect.signature(kind).parameters.values()
    return inspect.Signature([first, *own, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])


def docstring(kind: type[Job]) -> str:
    """Return the fields as the lines below "Args:" in a docstring."""
    lines = []
    for each in kind.options():
        text = re.sub(r"--[\w-]+", lambda flag: flag[0][2:].replace("-", "_"), help_text(each))
        lines.append(f"    {each.name}: {text}.")
    return "\n".join(lines)


def job(kind: type[Job], given: Mapping[str, Any]) -> Job:
    """Return the job of rendered arguments.

    Raises:
        SpecError: A value is wrong or missing.
    """
    by_name = {each.name: each for each in kind.options()}
    values = {name: _typed(by_name[name], value) for name, value in given.items()}
    return kind.from_fields({name: value for name, value in values.items() if value is not MISSING})


def _typed(field: Field[Any], value: object) -> object:
    """Convert a rendered value to the type of its field. An empty value of an optional field becomes MISSING."""
    if isinstance(value, list | tuple):
        return tuple(_typed(field, each) for each in value)
    if value in (None, "", "None") and field.default is not MISSING:
        return MISSING
    kind = value_type(field)
    if not isinstance(value, str) or kind is str:
        return value
    try:
        return _BOOLEANS[value.strip().lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        raise SpecError(f"{field.name} is {value!r}.", f"give {TYPE_NAMES[kind]}.") from None

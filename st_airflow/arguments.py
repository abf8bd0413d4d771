"""The fields of a job as the keyword arguments of its operator. Rendered templates are text: it is converted here."""

import inspect
import re
from ast import literal_eval
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field
from datetime import date
from typing import Any

from st_spark.errors import SpecError, check_no_secret
from st_spark.specs.base import TYPE_NAMES, Job, help_text, value_type

_BOOLEANS = {"true": True, "false": False}
_COMMAS = "labels"  # the text option that holds several values; here they may be a list


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


def check_no_secrets(given: Mapping[str, Any]) -> None:
    """Check that no argument holds a secret, before Airflow stores and shows it; SpecError if one does."""
    for name, value in given.items():
        if isinstance(value, str):
            check_no_secret(name, value)


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
    several = field.metadata["most"] > 1 or field.name == _COMMAS
    if isinstance(value, str) and several:
        value = _list(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        values = tuple(_typed(field, each) for each in value)
        return _joined(values) if field.name == _COMMAS else values
    if value in (None, "", "None") and field.default is not MISSING:
        return MISSING
    kind = value_type(field)
    if (kind is str and isinstance(value, int | float | date)) or (kind is int and isinstance(value, float)):
        value = str(value)
    return _read(field, kind, value) if isinstance(value, str) else value


def _read(field: Field[Any], kind: type, text: str) -> object:
    """Read a text as a value of a type. An integer may be written as 5.0, as some forms and JSON writers do."""
    try:
        if kind is bool:
            return _BOOLEANS[text.strip().lower()]
        return kind(re.sub(r"\.0+\s*$", "", text) if kind is int else text)
    except (KeyError, ValueError):
        raise SpecError(f"{field.name} is {text!r}.", f"give {TYPE_NAMES[kind]}.") from None


def _list(text: str) -> object:
    """Return the list that a template has written as text, such as "['title', 'text']"; any other text as it is."""
    try:
        value = literal_eval(text) if text.startswith("[") else text
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, list) else text


def _joined(labels: tuple[object, ...]) -> str:
    for label in labels:
        if "," in str(label):
            raise SpecError(f"The label {label!r} has a comma.", "write the labels to a table: labels_table.")
    return ",".join(map(str, labels))

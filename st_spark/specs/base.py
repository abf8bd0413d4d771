"""Job: a frozen dataclass whose fields are command line flags and JSON keys."""

import argparse
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, NoReturn, Self, get_args

from st_spark.errors import SpecError, check_no_secret, check_text, did_you_mean

TYPE_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def option(  # noqa: PLR0913  (all that a flag can have)
    text: str,
    default: object = MISSING,
    *,
    choices: tuple[str, ...] = (),
    least: int | None = None,
    most: int = 1,
    short: str = "",
    path: bool = False,
    table: bool = False,
    bare: str | None = None,
    metavar: str = "",
    integer: bool = False,
) -> Any:  # noqa: ANN401 (the caller annotates the field)
    """Declare a field of a job and its flag. The annotation says the type; a bool is a flag without a value.

    Args:
        text: The help text.
        default: The default; a field without one is required.
        choices: The allowed values; any value if empty.
        least: The smallest allowed number.
        most: How many times the flag may be given; above 1 the field is a str or a tuple of str.
        short: A one-letter flag such as "-k"; "-" makes the field a positional argument.
        path: Whether the value is a path.
        table: Whether the value is a table: a path or a catalog name. The field NAME_format has its format.
        bare: The value of a flag that is given without one.
        metavar: What the help calls the value; by default the choices, N for an integer, or the name's last word.
        integer: Whether an integer can be given for a string: its digits.
    """
    about = {"help": text, "choices": choices, "least": least, "most": most, "short": short}
    about |= {"path": path or table, "table": table, "bare": bare, "metavar": metavar, "integer": integer}
    return field(default=default, metadata=about)


def value_type(each: Field[Any]) -> type:
    """Return the type of one value of a field: str, int, float or bool."""
    return (get_args(each.type) or (each.type,))[0]  # the first type of a union


def help_text(each: Field[Any]) -> str:
    """Return the help text of a field with its default."""
    default = f" (default: {each.default})" if each.default not in (None, False) else ""
    return each.metadata["help"] + (" (required)" if each.default is MISSING else default)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises SpecError; argparse would print the usage and exit."""

    def error(self, message: str) -> NoReturn:
        """Raise the problem as one line."""
        raise SpecError(f"{message}.", f"see `{self.prog} --help`.")

    def parse(self, argv: Sequence[str]) -> dict[str, Any]:
        """Return the given arguments by field name. An unknown flag raises SpecError with the closest known one."""
        given, unknown = self.parse_known_args(list(argv))
        if unknown:
            known = [flag for action in self._actions for flag in action.option_strings]
            self.error(f"unknown argument {unknown[0]!r}{did_you_mean(unknown[0].split('=')[0], known)}")
        return vars(given)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:  # noqa: ANN401
        """Keep the value of `--name=--`, which argparse in Python 3.11 drops."""
        if action.option_strings and arg_strings == ["--"]:
            return "--"
        return super()._get_values(action, arg_strings)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Base of all jobs. A subclass declares its fields with `option` and its name as `kind`."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Check the type, the range and the choices of every field. A wrong value raises SpecError."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, list | tuple):
                value = value[0] if len(value) == 1 else tuple(value)
            if value_type(each) is float and type(value) is int:  # JSON writes 1 for 1.0
                value = float(value)
            if each.metadata["integer"] and type(value) is int:
                value = str(value)
            object.__setattr__(self, each.name, value)
            _check(each, value)

    @classmethod
    def groups(cls) -> list[tuple[str, list[Field[Any]]]]:
        """Return (title, fields) for each class that declares some; groups with a required field come first."""
        known = {each.name: each for each in fields(cls)}
        groups: list[tuple[str, list[Field[Any]]]] = []
        for group in reversed(cls.__mro__):
            title = f"{cls.kind} options" if group is cls else (group.__doc__ or "").rstrip(".")
            if own := [known.pop(name) for name in inspect.get_annotations(group) if name in known]:
                groups.insert(0, (title, own))
        return sorted(groups, key=lambda group: all(each.default is not MISSING for each in group[1]))

    @classmethod
    def options(cls) -> list[Field[Any]]:
        """Return all fields in the order of their groups."""
        return [each for _, group in cls.groups() for each in group]

    def tables(self) -> list[tuple[str, str | None]]:
        """Return the tables that the job reads and writes as (path or name, format); None: found from the path."""
        names = [
            each.name for each in self.options() if each.metadata["table"] and getattr(self, each.name) is not None
        ]
        return [(getattr(self, name), getattr(self, f"{name}_format", None)) for name in names]

    def other_outputs(self) -> list[str]:
        """Return the tables that the job writes beside `output`: the rows that dedup keeps, the summary of clusters."""
        found = (getattr(self, name, None) for name in ("output_kept", "summary"))
        return [where for where in found if where is not None]

    def to_json(self) -> str:
        """Return all fields as a JSON object; the key "job" holds the kind."""
        values = {each.name: getattr(self, each.name) for each in self.options()}
        return json.dumps({"job": self.kind, **values}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, /, **overrides: object) -> Self:
        """Return the job of a JSON object, with some fields replaced. A wrong object or field raises SpecError."""
        fix = 'write one object such as {"job": "embed", ...}.'
        try:
            values = json.loads(text)
        except ValueError as error:
            raise SpecError(f"The spec is not valid JSON: {error}.", fix) from None
        if not isinstance(values, dict):
            raise SpecError(f"The spec is a {type(values).__name__}, not a JSON object.", fix)
        found = values.pop("job", cls.kind)
        if found != cls.kind:
            raise SpecError(f"The spec is a job of kind {found!r}, not {cls.kind!r}.", f"run `st-spark {found}`.")
        return cls.from_fields({**values, **overrides})

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Self:
        """Return a job of field names and values. An unknown or a missing field raises SpecError."""
        known = {each.name: each for each in cls.options()}
        for name in values:
            if name not in known:
                problem = f"{cls.kind} has no field {name!r}{did_you_mean(name, known)}."
                raise SpecError(problem, f"the fields are {', '.join(known)}.")
        for name, each in known.items():
            if each.default is MISSING and values.get(name) is None:
                flag = _flag(each) or name.upper()
                raise SpecError(f"{cls.kind} needs {name}.", f"give {flag}: {each.metadata['help']}.")
        return cls(**values)

    def to_argv(self) -> list[str]:
        """Return the command line after `st-spark`: the kind, then `--name=value` flags (a value may start with -)."""
        flags, words = [], []
        for each in self.options():
            value = getattr(self, each.name)
            if value == each.default and each.default is not MISSING:
                continue
            if each.metadata["short"] == "-":
                words.append(str(value))
            elif value_type(each) is bool:
                flags.append(_flag(each))
            else:
                flags += [f"{_flag(each)}={one}" for one in (value if isinstance(value, tuple) else (value,))]
        return [self.kind, *flags, *(["--", *words] if words else [])]

    @classmethod
    def from_argv(cls, argv: Sequence[str]) -> Self:
        """Return the job of a command line that starts with the kind. A wrong argument raises SpecError."""
        if not argv or argv[0] != cls.kind:
            raise SpecError(f"The arguments do not start with {cls.kind!r}: {list(argv)[:1]}.", "name the job first.")
        return cls.from_fields(cls.parser().parse(argv[1:]))

    @classmethod
    def headline(cls) -> str:
        """Return what the job does in one line."""
        return (cls.__doc__ or "").splitlines()[0]

    @classmethod
    def parser(cls) -> Parser:
        """Return a parser of the job's flags. Its result contains only the arguments that are given."""
        parser = Parser(prog=f"st-spark {cls.kind}", description=cls.headline(), allow_abbrev=False)
        for title, group in cls.groups():
            section = parser.add_argument_group(title)
            for each in group:
                _add_flag(section, each)
        return parser


def _flag(each: Field[Any]) -> str:
    return "" if each.metadata["short"] == "-" else "--" + each.name.replace("_", "-")


def _add_flag(section: "argparse._ArgumentGroup", each: Field[Any]) -> None:
    about = each.metadata
    more: dict[str, Any] = {"help": help_text(each).replace("%", "%%"), "default": argparse.SUPPRESS}
    if value_type(each) is bool:
        section.add_argument(_flag(each), action="store_true", **more)
        return
    more |= {"choices": about["choices"] or None, "type": value_type(each)}
    if about["short"] == "-":  # "?": a saved spec may have the value
        section.add_argument(each.name, nargs="?", metavar=each.name.upper(), **more)
        return
    if not about["choices"]:
        name = each.name.split("_")[-1].upper()
        more["metavar"] = about["metavar"] or ("N" if value_type(each) is int else name)
    if about["bare"]:
        more |= {"nargs": "?", "const": about["bare"]}
    action = "append" if about["most"] > 1 else "store"
    section.add_argument(*filter(None, (_flag(each), about["short"])), action=action, dest=each.name, **more)


def _check(each: Field[Any], value: object) -> None:
    about = each.metadata
    if value is None and each.default is None:
        return
    parts = value if isinstance(value, tuple) and about["most"] > 1 else (value,)
    if not 0 < len(parts) <= about["most"]:
        raise SpecError(f"{each.name} has {len(parts)} values.", f"give 1 to {about['most']}.")
    for part in parts:
        if type(part) is not value_type(each):  # not isinstance: True is an int there
            raise SpecError(f"{each.name} is {part!r}.", f"give {TYPE_NAMES[value_type(each)]}.")
        if isinstance(part, str):
            check_text(each.name, part, SpecError)
            if about["path"]:
                check_no_secret(each.name, part)
        if about["choices"] and part not in about["choices"]:
            hint = did_you_mean(str(part), about["choices"])
            raise SpecError(f"{each.name} is {part!r}{hint}.", f"choose {', '.join(about['choices'])}.")
        if part == "" and each.default is MISSING:
            raise SpecError(f"{each.name} is empty.", "give a value.")
        if about["least"] is not None and part < about["least"]:
            raise SpecError(f"{each.name} is {part}.", f"give {about['least']} or more.")

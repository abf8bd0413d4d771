"""A frozen dataclass whose fields are flags of a command line and keys of a JSON object at once."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, ClassVar, NoReturn, Self

from st_spark.errors import SpecError, close


def option(
    text: str,
    default: object = MISSING,
    *,
    choices: tuple[str, ...] = (),
    kind: type = str,
    most: int = 1,
    short: str = "",
) -> Any:  # noqa: ANN401 (a field stands where its value's type is declared)
    """A field of a job together with its flag.

    Args:
        text: The flag's help.
        default: The field's default; without one the field must be given.
        choices: The values allowed, any if empty.
        kind: The type of one value: str, int, float or bool (a bool is a flag without a value).
        most: How often the flag may be given; above 1 the field is a str or a tuple of them.
        short: A one-letter flag; "-" makes the field a positional argument.
    """
    about = {"help": text, "choices": choices, "kind": kind, "most": most, "short": short}
    return field(default=default, metadata=about)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises SpecError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        """Raises the problem as one line, with close matches of an unknown flag."""
        raise SpecError(f"{message}.", f"see `{self.prog} --help`.")

    def parse(self, argv: Sequence[str]) -> dict[str, Any]:
        """The arguments that were really given, by field name."""
        given, unknown = self.parse_known_args(list(argv))
        if unknown:
            known = [flag for action in self._actions for flag in action.option_strings]
            self.error(f"unknown argument {unknown[0]!r}{_hint(unknown[0].split('=')[0], known)}")
        return vars(given)


@dataclass(frozen=True)
class Job:
    """Base of all jobs: a subclass adds its fields with `option` and its name as `kind`."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Checks every field's type and choice.

        Raises:
            SpecError: A value of another type, or none of the choices.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, list):
                value = tuple(value)
            if isinstance(value, tuple) and len(value) == 1:
                value = value[0]
            if each.metadata["kind"] is float and type(value) is int:  # JSON writes 1 for 1.0
                value = float(value)
            object.__setattr__(self, each.name, value)
            _check(each, value)

    def tables(self) -> list[tuple[str, str | None]]:
        """The tables that the job reads and writes: where, and in which format (None: to be told from the name)."""
        raise NotImplementedError

    def to_json(self) -> str:
        """All fields as one JSON object; the key "job" names the kind."""
        return json.dumps({"job": self.kind, **asdict(self)}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The job that `to_json` wrote, or a person with fewer keys.

        Raises:
            SpecError: No JSON object, another kind of job, an unknown key, a missing or a wrong value.
        """
        return cls.from_fields(read_fields(text, cls.kind))

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Self:
        """A job from field names and values; SpecError if one is unknown or a needed one is missing."""
        known = {each.name: each for each in fields(cls)}
        for name in values:
            if name not in known:
                raise SpecError(
                    f"{cls.kind} knows no field {name!r}{_hint(name, known)}.", f"the fields are {', '.join(known)}."
                )
        for name, each in known.items():
            if each.default is MISSING and values.get(name) is None:
                raise SpecError(
                    f"{cls.kind} needs {name}.", f"give {_flag(each) or name.upper()}: {each.metadata['help']}."
                )
        return cls(**values)

    def to_argv(self) -> list[str]:
        """The command line after `st-spark`: the kind, then flags as `--name=value` (a value may start with -)."""
        flags, words = [], []
        for each in fields(self):
            value = getattr(self, each.name)
            if value == each.default and each.default is not MISSING:
                continue
            if each.metadata["short"] == "-":
                words.append(str(value))
            elif each.metadata["kind"] is bool:
                flags.append(_flag(each))
            else:
                flags += [f"{_flag(each)}={one}" for one in (value if isinstance(value, tuple) else (value,))]
        return [self.kind, *flags, *(["--", *words] if words else [])]

    @classmethod
    def from_argv(cls, argv: Sequence[str]) -> Self:
        """The job that `to_argv` wrote, or a person typed (the kind first).

        Raises:
            SpecError: Another kind, an unknown flag, a missing or a wrong value.
        """
        if not argv or argv[0] != cls.kind:
            raise SpecError(f"The arguments {list(argv)[:1]} are no {cls.kind} job.", f"start with {cls.kind!r}.")
        parser = Parser(prog=f"st-spark {cls.kind}", allow_abbrev=False)
        cls.add_flags(parser)
        return cls.from_fields(parser.parse(argv[1:]))

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """Adds one argument per field; those not given stay out of the parsed namespace."""
        for each in fields(cls):
            about = each.metadata
            needed = "" if each.default is not MISSING else " (needed)"
            shown = f" (default: {each.default})" if each.default not in (MISSING, None, False) else ""
            more: dict[str, Any] = {"help": f"{about['help']}{needed}{shown}", "default": argparse.SUPPRESS}
            if about["kind"] is bool:
                parser.add_argument(_flag(each), action="store_true", **more)
                continue
            more |= {"choices": about["choices"] or None, "type": about["kind"]}
            if about["short"] == "-":  # "?" because a saved spec may give it
                parser.add_argument(each.name, nargs="?", metavar=each.name.upper(), **more)
                continue
            names = [_flag(each), *([about["short"]] if about["short"] else [])]
            metavar = None if about["choices"] else {int: "N"}.get(about["kind"], each.name.split("_")[-1].upper())
            parser.add_argument(
                *names, action="append" if about["most"] > 1 else "store", metavar=metavar, dest=each.name, **more
            )


def read_fields(text: str, kind: str) -> dict[str, Any]:
    """The fields in the JSON text of a job of this kind, not yet checked; SpecError if it is no such object."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SpecError(f"The spec is no JSON: {error}.", 'write one object such as {"job": "embed", ...}.') from None
    if not isinstance(values, dict):
        raise SpecError(f"The spec is a {type(values).__name__}.", 'write one object such as {"job": "embed", ...}.')
    found = values.pop("job", kind)
    if found != kind:
        raise SpecError(f"The spec is a job of kind {found!r}, not {kind!r}.", f"run it with `st-spark {found}`.")
    return values


def _hint(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = close(name, known)
    return f" (did you mean {near!r}?)" if near else ""


def _flag(each: Field[Any]) -> str:
    return "" if each.metadata["short"] == "-" else "--" + each.name.replace("_", "-")


def _check(each: Field[Any], value: object) -> None:
    about = each.metadata
    if value is None and each.default is None:
        return
    parts = value if isinstance(value, tuple) and about["most"] > 1 else (value,)
    if not 0 < len(parts) <= about["most"]:
        raise SpecError(f"{each.name} has {len(parts)} values.", f"give 1 to {about['most']}.")
    for part in parts:
        if type(part) is not about["kind"]:  # not isinstance: True is no number here
            raise SpecError(f"{each.name} is {part!r}, a {type(part).__name__}.", f"give a {about['kind'].__name__}.")
        if about["choices"] and part not in about["choices"]:
            raise SpecError(
                f"{each.name} is {part!r}{_hint(part, about['choices'])}.", f"choose {', '.join(about['choices'])}."
            )
        if part == "" and each.default is MISSING:
            raise SpecError(f"{each.name} is empty.", "give a value.")

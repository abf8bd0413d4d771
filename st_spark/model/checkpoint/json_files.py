"""Read the JSON files of a checkpoint. Every error names the file and the value."""

import json
import reprlib
from pathlib import Path
from typing import Any

from st_spark.errors import ModelError


def read_json(file: Path) -> object:
    """Return the content of a JSON file; ModelError if it cannot be read or is not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(f"{file} cannot be read as JSON ({reason}).", "Download or copy the model again.") from error


def read_object(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; ModelError if it cannot be read or holds something else."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise invalid(file, "the whole file", content, "an object")
    return content


def invalid(file: Path, what: str, value: object, expected: str) -> ModelError:
    """Return the error for a value that is not as expected."""
    return ModelError(f"{file}: {what} is {shown(value)}.", f"It must be {expected}; correct it or download it again.")


def shown(value: object) -> str:
    """Return a value as text, short enough for a message however large it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 120
    return short.repr(value)

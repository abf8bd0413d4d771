"""JSON files of a checkpoint: whatever is wrong with one becomes an error that names the file and the value."""

import json
import reprlib
from pathlib import Path
from typing import Any

from st_spark.errors import ModelError


def read_json(file: Path) -> object:
    """The content of a JSON file.

    Raises:
        ModelError: It cannot be read or is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(f"{file} cannot be read as JSON ({reason}).", "Download or copy the model again.") from error


def read_object(file: Path) -> dict[str, Any]:
    """The content of a JSON file that holds one object.

    Raises:
        ModelError: It cannot be read, is no JSON, or holds something else.
    """
    content = read_json(file)
    if not isinstance(content, dict):
        raise wrong(file, "the whole file", content, "an object")
    return content


def wrong(file: Path, what: str, value: object, expected: str) -> ModelError:
    """The error for a value that is not what it has to be."""
    return ModelError(f"{file}: {what} is {shown(value)}.", f"It has to be {expected}; mend it or download it again.")


def shown(value: object) -> str:
    """A value as text, short enough for a message however large it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 120
    return short.repr(value)

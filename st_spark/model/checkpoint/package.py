"""The model folder that an installed Python package carries, found without importing the package."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from st_spark.errors import ModelError


def find(package: str) -> Path:
    """Finds the one model folder inside an installed package.

    Args:
        package: Its import name, which may have dots.

    Returns:
        The folder nearest to the top that holds modules.json, or config.json where no folder has modules.json.

    Raises:
        ModelError: No such package, or not exactly one model in it.
    """
    places = _places(package)
    for mark in ("modules.json", "config.json"):
        found = [folder for place in places for folder in _marked(place, mark)]
        if len(found) > 1:
            listed = ", ".join(map(str, found[:5]))
            raise ModelError(
                f"The package '{package}' carries {len(found)} models: {listed}.", "Give one of the folders."
            )
        if found:
            return found[0]
    raise ModelError(
        f"The package '{package}' carries no model: no modules.json or config.json in {', '.join(map(str, places))}.",
        "Install a package that carries a model folder, or give the folder itself.",
    )


def _places(package: str) -> list[Path]:
    """The folders of a package; find_spec of its first name alone runs none of its code."""
    first, *rest = package.split(".")
    if not all(name.isidentifier() for name in (first, *rest)):
        raise ModelError(
            f"'{package}' is no import name of a package.", "Write it as in an import: letters, digits, _."
        )
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # __main__ and its like
        spec = None
    tops = list(spec.submodule_search_locations or []) if spec else []
    places = [place for top in tops if (place := Path(os.path.realpath(top)).joinpath(*rest)).is_dir()]
    if not places:
        raise ModelError(
            f"There is no installed package '{package}'.",
            "Install it for this Python with pip, and give its import name, not the name on the package index.",
        )
    return places


def _marked(folder: Path, mark: str) -> Iterator[Path]:
    """Folders that hold a file of this name, not looking below one that was found."""
    if (folder / mark).is_file():
        yield folder
        return
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.is_symlink():
            yield from _marked(inner, mark)

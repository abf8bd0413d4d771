"""Find the model folder inside an installed Python package, without importing the package."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from st_spark.errors import ModelError


def find(package: str) -> Path:
    """Return the one model folder inside an installed package.

    Args:
        package: The import name; it may have dots.

    Returns:
        The topmost folder with modules.json; if there is none, the topmost folder with config.json.

    Raises:
        ModelError: No such package, or not exactly one model in it.
    """
    places = _places(package)
    for file in ("modules.json", "config.json"):
        found = [folder for place in places for folder in _topmost(place, file)]
        if len(found) > 1:
            problem = f"The package '{package}' contains {len(found)} models: {', '.join(map(str, found[:5]))}."
            raise ModelError(problem, "Give one of the folders.")
        if found:
            return found[0]
    raise ModelError(
        f"The package '{package}' contains no model: no modules.json or config.json in {', '.join(map(str, places))}.",
        "Install a package that contains a model folder, or give the folder itself.",
    )


def _places(package: str) -> list[Path]:
    """Return the folders of a package. Only its first name is looked up, which runs none of its code."""
    first, *rest = package.split(".")
    if not all(name.isidentifier() for name in (first, *rest)):
        raise ModelError(f"'{package}' is not an import name.", "Write it as in an import: letters, digits, _.")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # __main__, for example
        spec = None
    tops = list(spec.submodule_search_locations or []) if spec else []
    places = [place for top in tops if (place := Path(os.path.realpath(top)).joinpath(*rest)).is_dir()]
    if not places:
        raise ModelError(
            f"There is no installed package '{package}'.",
            "Install it for this Python with pip, and give its import name, not its name on the package index.",
        )
    return places


def _topmost(folder: Path, file: str) -> Iterator[Path]:
    """Yield the folders that hold a file of this name, without searching below them."""
    if (folder / file).is_file():
        yield folder
        return
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.is_symlink():
            yield from _topmost(inner, file)

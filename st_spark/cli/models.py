"""`st-spark models`: the documented models as a table, or all facts of one."""

import json
import shutil
import sys
from collections.abc import Sequence

from st_spark.cli.text_table import table
from st_spark.errors import InputError
from st_spark.model.catalog import MEASURES, MODELS, TASKS, CatalogModel, close_matches, find
from st_spark.specs.base import Parser

SUMMARY = "list the documented models: task, dimension, longest text, score function, size, published results"


def main(argv: Sequence[str]) -> int:
    """Print the models and return the exit code."""
    parser = Parser(prog="st-spark models", description=SUMMARY, allow_abbrev=False)
    parser.add_argument("name", nargs="?", metavar="NAME", help="show all facts of this model")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    given = parser.parse(argv)
    found = MODELS if given["name"] is None else (_find(given["name"]),)
    if given["json"]:
        sys.stdout.write(json.dumps([model.to_dict() for model in found], indent=2) + "\n")
    else:
        sys.stdout.write(_table(found) if given["name"] is None else _facts(found[0]))
    return 0


def _find(name: str) -> CatalogModel:
    found = find(name)
    if found is None:
        near = close_matches(name)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise InputError(
            f"No documented model is called {name!r}.",
            f"{hint}`st-spark models` lists them; --model also takes any other hub name or folder.",
        )
    return found


def _table(models: Sequence[CatalogModel]) -> str:
    head = [*"model task dim tokens score languages MB queries/s".split(), "published results (%)"]
    lines = []
    for each in models:
        numbers = (each.dim, each.max_length, each.score, each.languages, each.size_mb)
        speed = "" if each.queries_per_second is None else "{:,} / {:,}".format(*each.queries_per_second)
        cells = ["" if value is None else str(value) for value in numbers]
        lines.append(
            [each.name, each.task, *cells, speed, ", ".join(f"{name} {value}" for name, value in each.measures)]
        )
    return table(head, lines, max(shutil.get_terminal_size((160, 24)).columns, 80))


def _facts(model: CatalogModel) -> str:
    names = f": {' '.join(model.language_names)}" if model.language_names else ""
    speed = model.queries_per_second
    facts = {
        "on the hub": model.hub_name,
        "made for": TASKS[model.task],
        "kind": model.kind,
        "dimensions": model.dim,
        "longest text": model.max_length and f"{model.max_length:,} tokens",
        "trained for": model.score,
        "vectors": {True: "of length 1", False: "of any length", None: None}[model.unit_length],
        "languages": model.languages and f"{model.languages}{names}",
        "weights": model.size_mb and f"{model.size_mb} MB",
        "speed": model.sentences_per_second and f"{model.sentences_per_second:,} sentences/s on a V100",
        "queries": speed and f"{speed[0]:,} /s on a GPU, {speed[1]:,} /s on a CPU",
        **{f"result, {name}": f"{value}% ({MEASURES[name]})" for name, value in model.measures},
    }
    return "".join(f"{name:<18}{value}\n" for name, value in facts.items() if value is not None)

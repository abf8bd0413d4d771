"""`st-spark models`: the known models as a table, or all facts of one."""

import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from st_spark.cli.text_table import table
from st_spark.errors import InputError, SpecError
from st_spark.model.catalog import MEASURES, MODELS, TASKS, CatalogModel, close_matches, find
from st_spark.model.catalog_table import MEASURED_ON
from st_spark.specs.base import Parser

SUMMARY = "list the known models: task, dimension, longest text, languages, size, licence, speed, published results"
_NO_LIMIT = 1_000_000  # what the catalog says of word models


def main(argv: Sequence[str]) -> int:
    """Print the models and return the exit code."""
    parser = Parser(prog="st-spark models", description=SUMMARY, allow_abbrev=False)
    parser.add_argument("name", nargs="?", metavar="NAME", help="show all facts of this model")
    parser.add_argument("--task", choices=TASKS, help="only models made for this")
    parser.add_argument("--language", metavar="CODE", help="only models that know this language: en, de, zh, ...")
    parser.add_argument("--max-size", metavar="MB", type=float, help="only models whose float32 weights fit in it")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    given = parser.parse(argv)
    filters = [name for name in ("task", "language", "max_size") if given[name] is not None]
    if given["name"] is not None and filters:
        raise SpecError(f"Both a model and {filters[0]} are given.", "remove one of them.")
    found = _chosen(given) if given["name"] is None else (_find(given["name"]),)
    if given["json"]:
        sys.stdout.write(json.dumps([model.to_dict() for model in found], indent=2) + "\n")
    else:
        sys.stdout.write(_table(found) if given["name"] is None else _facts(found[0]))
    return 0


def _chosen(given: dict[str, Any]) -> Sequence[CatalogModel]:
    """Return the models that pass the filters; InputError if there are none."""
    task, language, size = given["task"], given["language"], given["max_size"]
    codes = {part for model in MODELS for code in model.language_names for part in (code, code.split("-")[0])}
    if language is not None and language.lower() not in codes:
        raise InputError(f"The language {language!r} is unknown.", f"give a code: {', '.join(sorted(codes))}.")
    found = [
        model
        for model in MODELS
        if (task is None or model.task == task)
        and (language is None or model.speaks(language.lower()))
        and (size is None or model.size_mb <= size)
    ]
    if not found:
        raise InputError("No known model passes these filters.", "give fewer, or a larger --max-size.")
    return found


def _find(name: str) -> CatalogModel:
    found = find(name)
    if found is None:
        near = close_matches(name)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise InputError(
            f"No known model is called {name!r}.",
            f"{hint}`st-spark models` lists them; --model also takes any other hub name or folder.",
        )
    return found


def _table(models: Sequence[CatalogModel]) -> str:
    head = [*"model task dim tokens score languages MB licence passages/s".split(), "published results (%)"]
    return table(head, [row(each) for each in models], max(shutil.get_terminal_size((160, 24)).columns, 80))


def row(model: CatalogModel) -> list[str]:
    """Return the cells of a model: name, task, dimensions, tokens, score, languages, MB, licence, speed, results."""
    length = model.max_length
    speed = "" if model.passages_per_second is None else _rate(model.passages_per_second[1])
    results = ", ".join(f"{name} {value:.2f}" for name, value in model.measures)
    tokens = "any" if length in (None, _NO_LIMIT) else f"{length:,}"
    numbers = (str(model.dim), tokens, model.score, model.languages, f"{model.size_mb:,}")
    return [model.name, model.task, *numbers, model.licence, speed, results]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _facts(model: CatalogModel) -> str:
    many = len(model.language_names) > 2
    speed, queries = model.passages_per_second, model.queries_per_second
    facts = {
        "on the hub": model.hub_name,
        "made for": TASKS[model.task],
        "kind": model.kind,
        "dimensions": model.dim,
        "longest text": "any" if model.max_length in (None, _NO_LIMIT) else f"{model.max_length:,} tokens",
        "trained for": model.score,
        "vectors": {True: "of length 1", False: "of any length", None: None}[model.unit_length],
        "languages": model.languages + (f": {' '.join(model.language_names)}" if many else ""),
        "weights": f"{model.parameters:,} million, {model.size_mb:,} MB in float32",
        "licence": {"none": "its page names none", "?": "not known to us"}.get(model.licence, model.licence),
        "passages/s": speed and f"{_rate(speed[0])} in float32, {_rate(speed[1])} with dtype auto ({MEASURED_ON})",
        "sentences/s": model.sentences_per_second and f"{model.sentences_per_second:,} on a V100 GPU, published",
        "queries/s": queries and f"{queries[0]:,} on a GPU, {queries[1]:,} on a CPU, published",
        **{f"result, {name}": f"{value}% ({MEASURES[name]})" for name, value in model.measures},
    }
    return "".join(f"{name:<18}{value}\n" for name, value in facts.items() if value is not None)

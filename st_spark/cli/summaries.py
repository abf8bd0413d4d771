"""What the command line shows: one-line errors, summaries, search results and tables of checks."""

import shutil
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from st_spark.model.catalog import MEASURES, TASKS, CatalogModel

if TYPE_CHECKING:
    from st_spark.cli.doctor import Check


def error(text: str) -> None:
    """Writes one line to standard error."""
    sys.stderr.write(f"st-spark: error: {' '.join(text.split())}\n")


def summary_of_embed(result: Mapping[str, Any]) -> str:
    """Rows, speed, what was odd, and where the table is."""
    rows, model, output = result["rows"], result["model"], result["output"]
    speed = f"{result['rows_per_second']:,.0f} rows/s, {result['tokens']:,} tokens"
    odd = [f"{count:,} {_PLAIN[name]}" for name, count in rows.items() if count and name in _PLAIN]
    odd += [f"{result['duplicates']:,} repeated texts encoded once"] if result["duplicates"] else []
    version = "" if output["version"] is None else f", version {output['version']}"
    stored = "" if result.get("precision", "float32") == "float32" else f", stored as {result['precision']}"
    lines = [
        f"{rows['out']:,} rows in {result['seconds']['encode_and_write']:.1f} s: {speed}",
        *([f"  of them {', '.join(odd)}"] if odd else []),
        f"  model {model['name']}, {model['dim']} dimensions, {model['dtype']} on {model['device']}{stored}",
        f"  table {output['path']} ({output['format']}{version}), column {output['column']}",
    ]
    return "\n".join(lines) + "\n"


_PLAIN = {
    "null": "without a text",
    "empty": "blank",
    "truncated": "truncated",
    "corrupt": "corrupt (set aside)",
    "zero": "zero vectors",
    "nan": "vectors with NaN",
    "unreadable": "that are no images (no vector)",
    "undecided": "like no label",
    "null_id": "without an id",
    "duplicate_id": "with an id that another row has",
}


def summary_of_search(result: Mapping[str, Any]) -> str:
    """Rank, score, id and text of each hit, cut to the width of the terminal."""
    width = shutil.get_terminal_size((100, 24)).columns
    texts, name = result["text_columns"], result["id_column"]
    lines = []
    for hit in result["hits"]:
        row = hit["row"]
        key = [str(row[name])] if name in row else []
        shown = [column for column in texts or row if column in row and column != name]
        text = " | ".join(" ".join(str(row[column]).split()) for column in shown)
        lines.append([str(hit["rank"]), f"{hit['score']:.4f}", *key, text])
    head = ["rank", "score", *([name] if lines and len(lines[0]) == 4 else []), " | ".join(texts or ["row"])]
    rows = result["rows"]
    skipped = [
        f"{rows[key]:,} {said}" for key, said in (("null", "without a vector"), ("nan", "with NaN")) if rows[key]
    ]
    end = f"{rows['in']:,} rows searched{', '.join(['', *skipped])}"
    return table(head, lines, width) + f"{end}; {result['model']['similarity']} by {result['model']['name']}\n"


def summary_of_join(result: Mapping[str, Any]) -> str:
    """Pairs, what was asked, what was set aside, and where the table is."""
    sides = [result[side] for side in ("left", "right") if side in result]
    sizes = " x ".join(f"{side['rows']:,}" for side in sides) + (
        " rows" if len(sides) == 2 else " rows with themselves"
    )
    asked = [f"{result['k']} neighbours each"] if result["k"] else []
    asked += [f"a score of {result['threshold']:g} or more"] if result["threshold"] is not None else []
    lines = [
        f"{result['pairs']:,} pairs in {result['seconds']['join_and_write']:.1f} s: {sizes}",
        f"  {' with '.join(asked)}; {result['score']}, {result['method']}",
    ]
    lines += _recall(result)
    if "best_per_row" in result:
        lines.append(
            f"  only the best {result['best_per_row']:,} of each row; {result['expected_pairs']:,} were expected"
        )
    for side in sides:
        odd = ", ".join(f"{count:,} {reason}" for reason, count in side["set_aside"].items())
        lines += [f"  set aside of {side['path']}: {odd}"] if odd else []
    return "\n".join([*lines, _place(result["output"])]) + "\n"


def summary_of_dedup(result: Mapping[str, Any]) -> str:
    """Groups, what was asked, what was set aside, and where the table is."""
    groups, source, seconds = result["groups"], result["input"], result["seconds"]["group_and_write"]
    copies = f", {result['copies']:,} of them exact copies" if result["copies"] else ""
    odd = [f"{count:,} {reason}" for reason, count in source["set_aside"].items()]
    lines = [
        f"{source['kept']:,} rows in {seconds:.1f} s: {result['duplicates']:,} duplicates{copies}",
        f"  {groups['all']:,} groups, {groups['of_several']:,} of several rows, the largest of {groups['largest']:,}",
        f"  a score of {result['threshold']:g} or more; {result['score']}, {result['linkage']}, {result['method']}",
        *_recall(result),
        *([f"  alone, without a key: {result['null_keys']:,}"] if result.get("null_keys") else []),
        *([f"  set aside: {', '.join(odd)}"] if odd else []),
    ]
    return "\n".join([*lines, _place(result["output"])]) + "\n"


def summary_of_mine(result: Mapping[str, Any]) -> str:
    """Pairs, what was asked, what was set aside, and where everything is."""
    sides = [result[side] for side in ("source", "target")]
    sizes = " x ".join(f"{side['rows']:,}" for side in sides)
    lines = [
        f"{result['pairs']:,} pairs in {result['seconds']['mine_and_write']:.1f} s: {sizes} rows",
        f"  {result['margin']} margin above {result['threshold']:g}, k {result['k']}, {result['retrieval']} of "
        f"{result['candidates']}, {result['method']}",
    ]
    for way in ("forward", "backward"):
        if f"recall_{way}" in result:
            low, high = result[f"recall_low_{way}"], result[f"recall_high_{way}"]
            lines.append(f"  recall {way} {result[f'recall_{way}']:.3f} (95% interval {low:.3f} to {high:.3f})")
    for side in sides:
        odd = ", ".join(f"{count:,} {reason}" for reason, count in side["set_aside"].items())
        lines += [f"  set aside of {side['path']}: {odd}"] if odd else []
    refused = ", ".join(f"{count:,} {reason}" for reason, count in result["refused"].items())
    lines += [f"  no pairs of neighbours: {refused}"] if refused else []
    lines.append(_place(result["output"]))
    lines += [f"  file {each}" for each in result.get("files", ())]
    lines += [f"  report {result['report']['path']}"] if "report" in result else []
    return "\n".join(lines) + "\n"


def _recall(result: Mapping[str, Any]) -> list[str]:
    if "recall" not in result:
        return []
    low, high = result["recall_low"], result["recall_high"]
    return [f"  recall {result['recall']:.3f} (95% interval {low:.3f} to {high:.3f})"]


def _place(output: Mapping[str, Any]) -> str:
    version = "" if output["version"] is None else f", version {output['version']}"
    return f"  table {output['path']} ({output['format']}{version})"


def checks(found: "Sequence[Check]") -> str:
    """A table of what is ok and what is not, with the fix below it."""
    lines = []
    for check in found:
        lines.append(f"{'ok    ' if check.ok else 'NOT OK'}  {check.name:<14} {check.found}")
        lines += [f"{'':24}fix: {check.fix}"] if not check.ok else []
    return "\n".join(lines) + "\n"


def models(found: Sequence[CatalogModel]) -> str:
    """The catalog as a table, one model a line."""
    head = "model task dim tokens score languages MB queries/s".split()
    lines = []
    for each in found:
        numbers = (each.dim, each.max_length, each.score, each.languages, each.size_mb)
        speed = "" if each.queries_per_second is None else "{:,} / {:,}".format(*each.queries_per_second)
        cells = ["" if value is None else str(value) for value in numbers]
        lines.append(
            [each.name, each.task, *cells, speed, ", ".join(f"{name} {value}" for name, value in each.measures)]
        )
    return table([*head, "published results (%)"], lines, max(shutil.get_terminal_size((160, 24)).columns, 80))


def model(each: CatalogModel) -> str:
    """All that the catalog knows of one model, a fact a line."""
    names = f": {' '.join(each.language_names)}" if each.language_names else ""
    speed = each.queries_per_second
    facts = {
        "on the hub": each.hub_name,
        "made for": TASKS[each.task],
        "kind": each.kind,
        "dimensions": each.dim,
        "longest text": each.max_length and f"{each.max_length:,} tokens",
        "tuned for": each.score,
        "vectors": {True: "of length 1", False: "of any length", None: None}[each.unit_length],
        "languages": each.languages and f"{each.languages}{names}",
        "weights": each.size_mb and f"{each.size_mb} MB",
        "speed": each.sentences_per_second and f"{each.sentences_per_second:,} sentences/s on a V100",
        "queries": speed and f"{speed[0]:,} /s on a GPU, {speed[1]:,} /s on a CPU",
        **{f"result, {name}": f"{value}% ({MEASURES[name]})" for name, value in each.measures},
    }
    return "".join(f"{name:<18}{value}\n" for name, value in facts.items() if value is not None)


SUMMARIES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "embed": summary_of_embed,
    "classify": summary_of_embed,
    "search": summary_of_search,
    "join": summary_of_join,
    "dedup": summary_of_dedup,
    "mine": summary_of_mine,
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Aligned columns; the last one is cut so that no line is wider than `width`."""
    sizes = [max(cells(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    lines = []
    for row in (head, *rows):
        start = "".join(_padded(cell, size) + "  " for cell, size in zip(row, sizes, strict=False))
        lines.append(start + cut(row[-1], max(width - cells(start), 10)))
    return "".join(line.rstrip() + "\n" for line in lines)


def cut(text: str, width: int) -> str:
    """The text, or its beginning and "…" where it needs more than `width` cells of a terminal."""
    if cells(text) <= width:
        return text
    used, end = 0, 0
    for end, sign in enumerate(text):  # noqa: B007
        used += cells(sign)
        if used > width - 1:
            break
    return text[:end] + "…"


def cells(text: str) -> int:
    """How many cells of a terminal a text takes: two for a wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _padded(text: str, size: int) -> str:
    return text + " " * (size - cells(text))

"""The summary that each job prints: rows or pairs, speed, skipped rows, and where the table is."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from st_spark.cli.text_table import table
from st_spark.report.words import ROW_COUNTS

Result = Mapping[str, Any]


def summary_of_embed(result: Result) -> str:
    """Return the summary of an embed or a classify job."""
    rows, model, output = result["rows"], result["model"], result["output"]
    speed = f"{result['rows_per_second']:,.0f} rows/s, {result['tokens']:,} tokens"
    counts = [f"{count:,} {ROW_COUNTS[name]}" for name, count in rows.items() if count and name in ROW_COUNTS]
    counts += [f"{result['duplicates']:,} repeated texts encoded once"] if result["duplicates"] else []
    precision = result.get("precision", "float32")
    stored = "" if precision == "float32" else f", stored as {precision}"
    return _lines(
        f"{rows['out']:,} rows in {result['seconds']['encode_and_write']:.1f} s: {speed}",
        f"  of them {', '.join(counts)}" if counts else "",
        f"  {rows['in']:,} texts in chunks of at most {result['chunk']:,} tokens" if "chunk" in result else "",
        f"  model {model['name']}, {model['dim']} dimensions, {model['dtype']} on {model['device']}{stored}",
        _rejected(result),
        f"{_place(output)}, column {output['column']}",
    )


def summary_of_index(result: Result) -> str:
    """Return the summary of an index job."""
    rows, seconds = result["rows"], result["seconds"]["total"]
    of = "" if rows["out"] == rows["indexed"] else f" of {rows['indexed']:,}"
    return _lines(
        f"{rows['out']:,}{of} rows in {seconds:.1f} s: {result['lists']:,} lists, {result['score']}",
        _probes(result),
        "  the lists do not suit the rows any more: build the index anew" if result["rebuild"] else "",
        _set_aside(result),
        _place(result["output"]),
        f"  centroids {result['centroids']['path']}",
    )


def _probes(lists: Result) -> str:
    """Return how many lists a query probes, and the recall that a sample measured."""
    recall = f"recall {lists['recall']:.3f} (95% interval {lists['recall_low']:.3f} to {lists['recall_high']:.3f})"
    return f"  a query probes {lists['nprobe']:,}: {recall} of the {lists['k']} best; {lists['recall_asked']:g} asked"


def _read_lists(result: Result) -> str:
    """Return how much of an index was read."""
    if "index" not in result:
        return ""
    index = result["index"]
    recall = "" if index["recall"] is None else f": recall {index['recall']:.3f} when it was built"
    read = f"{index['lists_read']:,} of {index['lists']:,} lists read"
    return f"{read}, {index['nprobe']:,} for each query{recall}"


def summary_of_search(result: Result) -> str:
    """Return rank, score, ID and text of each hit, cut to the width of the terminal; or the counts of a table."""
    if "queries" in result:
        return _summary_of_queries(result)
    width = shutil.get_terminal_size((100, 24)).columns
    texts, name, rows = result.get("columns") or result["text_columns"], result["id_column"], result["rows"]
    texts = [column for column in texts or () if column != name]
    lines = []
    for hit in result["hits"]:
        row = hit["row"]
        key = [str(row[name])] if name in row else []
        shown = [column for column in texts or row if column in row and column != name]
        text = " | ".join(" ".join(str(row[column]).split()) for column in shown)
        lines.append([str(hit["rank"]), f"{hit['score']:.4f}", *key, text])
    head = ["rank", "score", *([name] if lines and len(lines[0]) == 4 else []), " | ".join(texts or ["row"])]
    reasons = {"null": "without a vector", "nan": "with NaN or infinity", "dimension": "with a vector of another size"}
    counts = [f"{rows['in']:,} rows searched"]
    counts += [f"{rows[key]:,} {why}" for key, why in reasons.items() if rows.get(key)]
    model = result["model"]
    counted = f"{', '.join(counts)}; {model['similarity']} by {model['name']}"
    return table(head, lines, width) + _lines(counted, _read_lists(result))


def _summary_of_queries(result: Result) -> str:
    queries, rows, model = result["queries"], result["rows"], result["model"]
    by = f" by {model['name']}" if "name" in model else ""
    left_out = {name: count for name, count in rows.items() if name not in ("in", "searched")}
    where = f" with {result['where']}" if result["where"] else ""
    return _lines(
        f"{result['pairs']:,} hits for {queries['answered']:,} of {queries['rows']:,} queries in "
        f"{result['seconds']['search']:.1f} s: {rows['searched']:,} rows searched{where}",
        f"  the {result['k']} best rows of each query; {result['score']}{by}",
        f"  {_read_lists(result)}" if "index" in result else "",
        f"  queries without a hit: {queries['without_hits']:,}" if queries["without_hits"] else "",
        _set_aside(queries, f" of {queries['path']}"),
        _set_aside({"set_aside": left_out}, f" of {result['table']}"),
        _place(result["output"]),
    )


def summary_of_join(result: Result) -> str:
    """Return the summary of a join job."""
    sides = [result[side] for side in ("left", "right") if side in result]
    sizes = " x ".join(f"{side['rows']:,}" for side in sides)
    asked = [f"{result['k']} neighbours each"] if result["k"] else []
    asked += [f"a score of {result['threshold']:g} or more"] if result["threshold"] is not None else []
    return _lines(
        f"{result['pairs']:,} pairs in {result['seconds']['join_and_write']:.1f} s: {sizes} rows"
        + (" with themselves" if len(sides) == 1 else ""),
        f"  {' with '.join(asked)}; {result['score']}, {result['method']}",
        _recall(result),
        f"  only the best {result['best_per_row']:,} of each row; {result['expected_pairs']:,} were expected"
        if "best_per_row" in result
        else "",
        _vectors(sides),
        *map(_set_aside_of, sides),
        _rejected(result),
        _place(result["output"]),
    )


def summary_of_dedup(result: Result) -> str:
    """Return the summary of a dedup job."""
    groups, source, seconds = result["groups"], result["input"], result["seconds"]["group_and_write"]
    copies = f", {result['copies']:,} of them exact copies" if result["copies"] else ""
    return _lines(
        f"{source['kept']:,} rows in {seconds:.1f} s: {result['duplicates']:,} duplicates{copies}",
        f"  {result['known']:,} are duplicates of rows of {result['against']['path']}" if "known" in result else "",
        f"  {groups['all']:,} groups, {groups['of_several']:,} of several rows, the largest of {groups['largest']:,}",
        f"  a score of {result['threshold']:g} or more; {result['score']}, {result['linkage']}, {result['method']}",
        _recall(result),
        f"  single rows with a null key: {result['null_keys']:,}" if result.get("null_keys") else "",
        _vectors([source, *([result["against"]] if "against" in result else [])]),
        _set_aside(source),
        _set_aside_of(result["against"]) if "against" in result else "",
        _rejected(result),
        _place(result["output"]),
        f"  kept: {result['kept']['rows']:,} rows, in {result['kept']['path']}" if "kept" in result else "",
    )


def summary_of_cluster(result: Result) -> str:
    """Return the summary of a cluster job."""
    clusters, source, tables = result["clusters"], result["input"], result.get("summary")
    seconds = result["seconds"]["cluster_and_write"]
    alone = f", {clusters['unclustered']:,} rows in none" if clusters["unclustered"] else ""
    if result["method"] == "kmeans":
        tried = result.get("silhouettes", {})
        asked = f"k {result['k']}" + (f" of {len(tried)} tried, silhouette {tried[result['k']]:.3f}" if tried else "")
    else:
        asked = f"a score of {result['threshold']:g} or more, {result['min_community_size']} rows or more"
    return _lines(
        f"{source['kept']:,} rows in {seconds:.1f} s: {clusters['all']:,} clusters{alone}",
        f"  the largest of {clusters['largest']:,} rows; {asked}; {result['score']}, {result['method']}",
        _set_aside(source),
        _rejected(result),
        _place(result["output"]),
        f"  summary {tables['path']}" if tables else "",
    )


def summary_of_mine(result: Result) -> str:
    """Return the summary of a mining job."""
    sides = [result[side] for side in ("source", "target")]
    sizes = " x ".join(f"{side['rows']:,}" for side in sides)
    return _lines(
        f"{result['pairs']:,} pairs in {result['seconds']['mine_and_write']:.1f} s: {sizes} rows",
        f"  {result['margin']} margin above {result['threshold']:g}, k {result['k']}, {result['retrieval']} of "
        f"{result['candidates']}, {result['method']}",
        *(_recall(result, direction) for direction in ("forward", "backward")),
        _vectors(sides),
        *map(_set_aside_of, sides),
        f"  rejected pairs: {_counts(result['refused'])}" if result["refused"] else "",
        _rejected(result),
        _place(result["output"]),
        *(f"  file {each}" for each in result.get("files", ())),
    )


def summary_of_describe(result: Result) -> str:
    """Return the description of a table, a fact a line."""
    lines = [
        f"table {result['table']} ({result['format']})",
        f"  {result['rows']:,} rows in {result['files']:,} files, {_bytes(result['bytes'])}",
    ]
    for name, column in result["columns"].items():
        size = f", {column['dimension']} dimensions" if column.get("dimension") else ""
        lines.append(f"  column {name}: {column['type']}{size}")
        recipe = [f"{key} {_value(value)}" for key, value in column["recipe"].items() if key not in ("dim", "ranges")]
        lines += [f"    {fact}" for fact in recipe] or ["    the table does not say how it was made"]
    lines += _index(result["index"]) if "index" in result else []
    run = result["last_run"]
    if run is None:
        lines.append("  last run: unknown")
    else:
        lines.append(f"  last run: {run['job']} --mode {run['mode']} at {run['time']}, st-spark {run['st_spark']}")
        lines.append(f"    job {run['job_id']}, application {run['application']}")
        lines.append(f"    {_counts_of_run(run['rows'])}")
    return _lines(*lines, *(f"  warning: {each}" for each in result["warnings"]))


def _index(index: Result) -> list[str]:
    """Return what an index is, and whether it is up to date."""
    state = "up to date" if index["stale"] is False else f"stale: the table has {index['source_now']} now"
    state = "the table is not there any more" if index["stale"] is None else state
    lists = f"    {index['lists']:,} lists, {index['score']}"
    return [f"  index of {index['source']} ({index['source_version']}): {state}", lists, f"  {_probes(index)}"]


def _counts_of_run(rows: Mapping[str, int]) -> str:
    """Return the counts of a run, and the share of the rows whose vector was there already."""
    text = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in rows.items() if count)
    stored = rows.get("unchanged", 0) + rows.get("updated", 0)
    return text + (f"; {stored / max(rows['out'], 1):.1%} kept their vector" if "unchanged" in rows else "")


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else repr(value) if value == "" else str(value)


def _bytes(size: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"


SUMMARIES: Mapping[str, Callable[[Result], str]] = {
    "embed": summary_of_embed,
    "classify": summary_of_embed,
    "index": summary_of_index,
    "search": summary_of_search,
    "join": summary_of_join,
    "dedup": summary_of_dedup,
    "cluster": summary_of_cluster,
    "mine": summary_of_mine,
    "describe": summary_of_describe,
}


def report_line(result: Result) -> str:
    """Return where the report of a job is, or why there is none."""
    report = result.get("report")
    if report is None:
        return ""
    return _lines(f"  report {report['path']}" + (f" was not written: {report['error']}" if "error" in report else ""))


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines if line)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


def _set_aside(side: Result, of: str = "") -> str:
    undecodable = f"  with undecodable characters{of}: {side.get('undecodable', 0):,} (see --input-encoding)"
    lines = [f"  set aside{of}: {_counts(side['set_aside'])}"] if side["set_aside"] else []
    return "\n".join([*lines, *([undecodable] if "undecodable" in side else [])])


def _set_aside_of(side: Result) -> str:
    return _set_aside(side, f" of {side['path']}")


def _vectors(sides: Sequence[Result]) -> str:
    """Return which tables were embedded, and of which the vectors were used. Empty without a model."""
    parts = [f"{side['path']} {side['vectors']}" for side in sides if "vectors" in side]
    return f"  vectors: {', '.join(parts)}" if parts else ""


def _recall(result: Result, direction: str = "") -> str:
    end = f"_{direction}" if direction else ""
    if f"recall{end}" not in result:
        return ""
    value, low, high = (result[f"recall{middle}{end}"] for middle in ("", "_low", "_high"))
    return f"  recall {direction + ' ' if direction else ''}{value:.3f} (95% interval {low:.3f} to {high:.3f})"


def _rejected(result: Result) -> str:
    found = result.get("rejected")
    return f"  rejected: {found['rows']:,} rows, in {found['path']}" if found else ""


def _place(output: Result) -> str:
    version = "" if output["version"] is None else f", version {output['version']}"
    counts = ", ".join(f"{count:,} {name}" for name, count in output.get("partitions", {}).items())
    partitions = f", partitions: {counts}" if counts else ""
    return f"  table {output['path']} ({output['format']}{version}){partitions}"

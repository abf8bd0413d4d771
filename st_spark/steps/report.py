"""Write the HTML report of a job: what ran, counts, plots and examples. docs/operations/report.md shows a page.

A page is made of the result, of the tables that the job has written, and of the texts of its inputs. The job collects
the scores of mining and the sample of clusters itself. The tables are published before the page is written, so nothing
here may fail the job: a retry would append the rows again.
"""

import importlib.util
import json
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType

from st_spark.errors import PlatformError
from st_spark.report import page, plots, vectors
from st_spark.report.clusters import ClusterSample
from st_spark.report.page import Html
from st_spark.report.scores import Scores
from st_spark.report.words import ROW_COUNTS
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import EmbedJob
from st_spark.steps import report_clusters, report_pairs, result_file
from st_spark.tables import io
from st_spark.tables.bad_rows import COLUMN, RAW_TEXT, REASON
from st_spark.tables.changes import CHANGED, NEW, UNCHANGED, UPDATED
from st_spark.tables.columns import quoted_column

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.spark.progress import Steps
    from st_spark.specs.base import Job

Sections = Iterator[tuple[str, Callable[[], list[Html]]]]
# The jobs that can have a report.
Reported = EmbedJob | JoinJob | DedupJob | ClusterJob | MineJob
_log = logging.getLogger(__name__)
_TABLES = ("input", "left", "right", "source", "target")
_OPTIONS = (
    *("method", "score", "margin", "k", "threshold", "min_community_size", "seed"),
    *("linkage", "retrieval", "candidates"),
)
_REASONS = 20


def prepare(job: Reported) -> None:
    """Check before the work that the report can be made and written.

    Raises:
        PlatformError: matplotlib is missing.
        InputError: The file cannot be written, or lies in a table of the job.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise PlatformError(
            "The report needs matplotlib, which is not installed.", "run `pip install 'st-spark[report]'`."
        )
    result_file.prepare(str(job.report), [where for where, _ in job.tables()], "--report")


def write(
    spark: "SparkSession",
    job: Reported,
    result: Mapping[str, Any],
    steps: "Sequence[Steps]",
    found: "Scores | ClusterSample | None",
) -> dict[str, Any]:
    """Write the report of a job that has finished.

    Args:
        spark: The session.
        job: The job.
        result: The result of the job.
        steps: The progress of its Spark actions.
        found: The scores of a mining job, or the sample of a cluster job.

    Returns:
        path; of a mining job pairs_from: how many pairs reach some thresholds; error, if the page could not be written.
    """
    path = str(job.report)
    if isinstance(job, EmbedJob):
        sections = _of_embed(spark, job, result, steps)
    elif isinstance(job, ClusterJob):
        assert isinstance(found, ClusterSample)
        sections = report_clusters.sections(result, found)
    else:
        assert not isinstance(found, ClusterSample)
        sections = report_pairs.sections(spark, job, result, found)
    written: dict[str, Any] = {"path": path}
    if isinstance(found, Scores):
        written["pairs_from"] = found.histogram.counts()
    try:
        parts = [_section(*each) for each in (*_start(result), *sections, *_end(spark, job, result))]
        result_file.write_text(path, page.page(f"{job.kind}: {job.output}", _lead(result), parts))
    except Exception as error:  # noqa: BLE001  (the table is written)
        _log.warning("The report %s could not be written: %s", path, error)
        written["error"] = str(error)
    return written


def _section(title: str, make: Callable[[], list[Html]]) -> Html:
    """Return a section. If it cannot be made, it says why; the others can be right."""
    try:
        return page.section(title, make())
    except Exception as error:  # noqa: BLE001  (the table is written)
        _log.warning("The report has no section %r: %s", title, error)
        return page.section(title, [page.paragraph(f"This section could not be made: {error}")])


def _lead(result: Mapping[str, Any]) -> str:
    """Return the outcome in a sentence."""
    seconds = f"in {result['seconds']['total']:,.1f} seconds"
    if "rows" in result:
        return f"{result['rows']['out']:,} rows {seconds}; {result['rows_per_second']:,.0f} rows per second at work."
    if "duplicates" in result:
        known = f", {result['known']:,} of them of earlier rows" if result.get("known") else ""
        about = f"{result['duplicates']:,} duplicates{known}; {result['groups']['of_several']:,} groups of several rows"
        return f"{about}, of {result['input']['kept']:,} rows, {seconds}."
    if "clusters" in result:
        counts = result["clusters"]
        alone = f", {counts['unclustered']:,} of them in none" if counts["unclustered"] else ""
        return f"{counts['all']:,} clusters of {result['input']['kept']:,} rows{alone}, {seconds}."
    return f"{result['pairs']:,} pairs {seconds}."


def _start(result: Mapping[str, Any]) -> Sections:
    stages = {name.replace("_", " "): value for name, value in result["seconds"].items() if name != "total"}
    stages["other"] = max(result["seconds"]["total"] - sum(stages.values()), 0.0)
    yield "What ran", lambda: _what_ran(result)
    yield "Time", lambda: [page.bars("stage", "seconds", stages)]


def _what_ran(result: Mapping[str, Any]) -> list[Html]:
    output, spark, model = result["output"], result["spark"], result["model"] or {}
    versions = {"st-spark": result["st_spark"], "Spark": spark["version"], "Python": platform.python_version()}
    found = page.facts(
        {
            "Job": f"{result['job']} --mode {output['mode']}, ID {output['job_id']}",
            "Finished": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
            **{side.capitalize(): result[side]["path"] for side in _TABLES if side in result},
            "Output": output["path"],
            "Vector column": output.get("column"),
            "Format": ", ".join(filter(None, (output["format"], _named({"version": output["version"]})))),
            "Model": model.get("name"),
            "Recipe": _named({**model, "name": None, "precision": result.get("precision")}),
            "Options": _named({name: result.get(name) for name in _OPTIONS}),
            "Versions": _named(versions),
            "Spark application": spark["application"],
        }
    )
    whole = f"The mode is {output['mode']}: the plots show the whole table, not only the rows of this run."
    return [found, page.paragraph(whole)] if output["mode"] in ("append", "merge") else [found]


def _named(values: Mapping[str, Any]) -> str:
    """Return values with their names, without empty ones."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items() if value not in (None, ""))


def _of_embed(spark: "SparkSession", job: EmbedJob, result: Mapping[str, Any], steps: "Sequence[Steps]") -> Sections:
    df, texts = io.read(spark, job.output, result["output"]["format"]), job.text_columns
    sample = cache(lambda: vectors.take(df, job.output_column, texts, job.id_column))
    yield "Rows", lambda: _rows(result)
    yield "Speed", lambda: _speed(result, steps[0] if steps else [])
    if not isinstance(df.schema[texts[0]].dataType, BinaryType):
        yield (
            "Length of texts",
            lambda: [
                *vectors.token_parts(sample().texts, job, result["model"]["prompt"], result["rows"]["truncated"]),
                page.heading("The longest texts"),
                page.table(("id", "characters", "text"), vectors.longest(df, texts, job.id_column)),
            ],
        )
    yield "Map", lambda: vectors.map_parts(sample(), result["model"]["similarity"])


def _rows(result: Mapping[str, Any]) -> list[Html]:
    """Return where the vectors come from, and what is counted of the rows."""
    rows = result["rows"]
    others = {
        "repeated texts, encoded once": result["duplicates"],
        "kept from the table": rows.get(UNCHANGED, 0) + rows.get(UPDATED, 0),
        "kept from a killed run": rows.get("resumed", 0),
        "without a text": rows["null"],
        "corrupt": rows["corrupt"],
    }
    merged = [rows[name] for name in (NEW, CHANGED, UPDATED, UNCHANGED) if name in rows]
    total = sum(merged) if merged else rows["out"] if result.get("pooling") == "none" else rows["in"] - rows["corrupt"]
    total += rows["bad"] - rows["corrupt"] if "rejected" in result and (merged or "pooling" in result) else 0
    origin = {"encoded by the model": max(total + rows["corrupt"] - sum(others.values()), 0), **others}
    names = {"in": "read", "out": "in the table", **ROW_COUNTS}
    return [
        page.bars("vectors", "rows", {name: count for name, count in origin.items() if count}),
        page.heading("Counts"),
        page.table(("rows", "count"), [(names.get(name, name), count) for name, count in rows.items() if count]),
    ]


def _speed(result: Mapping[str, Any], steps: "Steps") -> list[Html]:
    """Return the speed over time."""
    about = f"{result['tokens']:,} tokens; {result['rows_per_second']:,.0f} rows per second on average."
    rates = plots.rates(steps)
    if len(rates) < 2:
        return [page.paragraph(f"{about} There was too little work for a plot over time.")]
    picture = plots.speed_plot(rates, result["rows_per_second"])
    return [page.paragraph(about), page.figure(picture, "Rows per second, counted when a task ends.")]


def _end(spark: "SparkSession", job: "Job", result: Mapping[str, Any]) -> Sections:
    if "rejected" in result:
        yield "Rejected rows", lambda: _rejected(spark, result["rejected"])
    values = json.dumps(result, indent=2, default=str, ensure_ascii=False)
    yield "All values", lambda: [page.details("Result", values), page.details("Job, for --spec", job.to_json())]


def _rejected(spark: "SparkSession", rejected: Mapping[str, Any]) -> list[Html]:
    """Return the reasons for which rows were rejected, with an example of each."""
    df = io.read(spark, rejected["path"], rejected["format"])
    own = [field.name for field in df.schema.fields if field.dataType.typeName() != "binary"]
    values = [quoted_column(name).cast("string") for name in own if name not in (REASON, COLUMN, RAW_TEXT)]
    shown = sf.coalesce(RAW_TEXT, sf.concat_ws(", ", *(sf.substring(value, 1, 100) for value in values)))
    example = sf.min(sf.substring(shown, 1, page.MOST_CHARACTERS + 1))
    rows = df.groupBy(REASON, sf.coalesce(COLUMN, sf.lit(""))).agg(sf.count(sf.lit(1)), example)
    found = rows.orderBy(sf.desc("count(1)"), REASON).limit(_REASONS).collect()
    return [
        page.paragraph(f"{rejected['rows']:,} rows of this run were rejected. {rejected['path']} has:"),
        page.table(("reason", "column", "rows", "an example"), found),
    ]

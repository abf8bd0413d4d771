"""The sections of a report on a join, dedup or mining job: inputs, scores, examples, and the largest groups."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import StringType

from st_spark.join.kept_rows import KEPT
from st_spark.report import page, scores
from st_spark.report.page import Html
from st_spark.report.scores import Scores
from st_spark.specs.pair_jobs import DedupJob, JoinJob, MineJob
from st_spark.steps.vector_input import types_of_second
from st_spark.tables import io
from st_spark.tables.columns import quoted_column
from st_spark.tables.metadata import vector_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_log = logging.getLogger(__name__)
_GROUPS = 12
Texts = Mapping[Any, str]


def sections(
    spark: "SparkSession", job: JoinJob | DedupJob | MineJob, result: Mapping[str, Any], mined: Scores | None
) -> Iterator[tuple[str, Callable[[], list[Html]]]]:
    """Yield the title of each section, and the function that makes it; see report.write() for the arguments."""
    unit, ids, label = "pairs", ("left_id", "right_id"), f"{result.get('score')} score"
    read = cache(lambda: io.read(spark, job.output, result["output"]["format"]))
    collect = cache(lambda: mined or scores.collect(read(), ids))
    if isinstance(job, MineJob):
        ids, label = ("source_id", "target_id"), f"{job.margin} margin"
    elif isinstance(job, DedupJob):
        unit, ids, label = "duplicates", (KEPT, "id"), f"{label} with the representative"
        collect = cache(lambda: scores.collect(_duplicates(read()), ids))
    yield "Inputs", lambda: inputs(result)
    if isinstance(job, DedupJob):
        yield "Largest groups", lambda: _groups(spark, job, _duplicates(read()))
    yield "Scores", lambda: scores.parts(collect().histogram, result["threshold"], label, unit)
    yield "Examples", lambda: _examples(spark, job, collect(), ids)


def inputs(result: Mapping[str, Any]) -> list[Html]:
    """Return how many rows were used, and why others were set aside."""
    rows: list[tuple[str, str, int]] = []
    for name in ("input", "left", "right", "source", "target"):
        if (side := result.get(name)) is not None:
            rows += [(name, "read", side["rows"]), (name, "used", side["kept"])]
            rows += [(name, f"set aside: {reason}", count) for reason, count in side["set_aside"].items()]
    rows += [("pairs", f"rejected: {reason}", count) for reason, count in result.get("refused", {}).items()]
    return [page.table(("table", "rows", "count"), rows)]


def _examples(
    spark: "SparkSession", job: JoinJob | DedupJob | MineJob, found: Scores, ids: tuple[str, str]
) -> list[Html]:
    rows = [row for some in found.examples.values() for row in some]
    if isinstance(job, MineJob):
        sides = [(f"{side}_id", f"{side}_text") for side in ("source", "target")]
        texts: list[Texts] = [{row[key]: row[text] for row in rows if text in row} for key, text in sides]
    else:
        texts = _texts(spark, job, *({row[name] for row in rows} for name in ids))
    head, parts = ("score", *(name.removesuffix("_id") for name in ids)), []
    for title, some in found.examples.items():
        lines = [(row["score"], *map(_named, texts, (row[name] for name in ids))) for row in some]
        parts += [page.heading(title), page.table(head, lines)]
    return parts


def _duplicates(df: "DataFrame") -> "DataFrame":
    """Return the duplicates with KEPT, the id of their representative: their group, if it is a row of --against."""
    # A table that several jobs have appended to can have a group twice.
    kept = df.where("representative").groupBy("group").agg(sf.min("id").alias(KEPT))
    return df.where("NOT representative").join(kept, "group", "left").withColumn(KEPT, sf.coalesce(KEPT, "group"))


def _groups(spark: "SparkSession", job: DedupJob, duplicates: "DataFrame") -> list[Html]:
    """Return the largest groups: the representative of each, and the row that is least similar to it."""
    farthest = sf.min(sf.struct("score", "id")).alias("far")
    groups = duplicates.groupBy(KEPT).agg(sf.max("size").alias("size"), farthest)
    rows = groups.orderBy(sf.col("size").desc(), KEPT).limit(_GROUPS).collect()
    texts = _texts(spark, job, {row[KEPT] for row in rows}, {row["far"]["id"] for row in rows})
    shown = [(row["size"], *map(_named, texts, (row[KEPT], row["far"]["id"])), row["far"]["score"]) for row in rows]
    return [page.table(("rows", "representative", "least similar row", "its score"), shown)]


def _named(texts: Texts, key: object) -> str:
    """Return an id with its text, if it is known."""
    return f"{key}: {texts[key]}" if key in texts else str(key)


def _texts(spark: "SparkSession", job: JoinJob | DedupJob, first: set[Any], second: set[Any]) -> list[Texts]:
    """Return the texts of ids of the first and of the second table, as far as the tables say which column it is."""
    ours = (job.id_column, job.column, job.text_column)
    if isinstance(job, DedupJob):
        table = (job.input, job.input_format, job.input_encoding, job.schema)
        found = [_of_table(spark, table, *ours, some) for some in (first, second)]
        if job.against is not None:  # the representative can be a row of it
            types = types_of_second(spark, job, job.against, job.against_format, None)
            table = (job.against, job.against_format, job.input_encoding, types)
            found[0] = {**_of_table(spark, table, *ours, first), **found[0]}
        return found
    table = (job.left, job.left_format, job.input_encoding, job.schema)
    found = [_of_table(spark, table, *ours, first)]
    if job.right is not None:
        types = types_of_second(spark, job, job.right, job.right_format, job.right_schema)
        table = (job.right, job.right_format, job.input_encoding, types)
        ours = (job.right_id_column or job.id_column, job.right_column, job.right_text_column or job.text_column)
    return [*found, _of_table(spark, table, *ours, second)]


def _of_table(
    spark: "SparkSession",
    table: tuple[str, str | None, str | None, str | None],
    id_column: str,
    column: str | None,
    text: str | None,
    ids: set[Any],
) -> Texts:
    """Return the text of each id of an input; {} if it cannot be read any more, because the ids are enough then."""
    try:
        df = io.read(spark, *table)
        names = [text] if text else vector_column(df.schema, table[0], column)[1].get("text_columns", [])
        kinds = {field.name: field.dataType for field in df.schema.fields}
        columns = [quoted_column(each) for each in names if kinds.get(each) == StringType()]
        if not columns or not ids:
            return {}
        shown = sf.substring(sf.concat_ws(" | ", *columns), 1, page.MOST_CHARACTERS + 1)
        rows = df.where(quoted_column(id_column).isin(list(ids))).select(quoted_column(id_column), shown)
        return {row[0]: row[1] for row in rows.collect()}
    except Exception as error:  # noqa: BLE001
        _log.warning("The report has no texts of %s: %s", table[0], error)
        return {}

"""What OpenLineage is told of a job: tables in, tables out, and which column comes from which."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.openlineage.facet import (
    ColumnLineageDatasetFacet,
    Dataset,
    Fields,
    InputField,
    OutputDataset,
    OutputStatisticsOutputDatasetFacet,
)
from airflow.providers.openlineage.extractors import OperatorLineage

from st_airflow.assets import uri
from st_spark.specs.base import Job
from st_spark.specs.jobs import ClassifyJob, DedupJob, EmbedJob, JoinJob, MineJob

# An output column, and the (table, column) pairs that it is made of.
Columns = dict[str, list[tuple[str, str]]]


def of(job: Job, result: Mapping[str, Any] | None) -> OperatorLineage[Any, Any]:
    """The lineage of a job; with its result also how many rows were written."""
    tables = [where for where, _ in job.tables()]
    output = str(getattr(job, "output", ""))
    tables.remove(output)  # once: a table may be made of itself
    fields = {name: _field(origins) for name, origins in columns(job).items() if origins}
    facets: dict[str, Any] = {"columnLineage": ColumnLineageDatasetFacet(fields=fields)} if fields else {}
    rows = written(result or {})
    counted: dict[str, Any] = (
        {} if rows is None else {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows)}
    )
    made = OutputDataset(*address(output), facets=facets, outputFacets=counted)
    return OperatorLineage(inputs=[Dataset(*address(where)) for where in dict.fromkeys(tables)], outputs=[made])


def address(where: str) -> tuple[str, str]:
    """The namespace and the name of a table, by OpenLineage's rules; a catalog's tables have its name, "spark"."""
    parts = urlsplit(uri(where))
    if parts.scheme == "x-spark-table":
        return "spark", where
    namespace = f"{parts.scheme}://{parts.netloc}" if parts.netloc else parts.scheme
    return namespace, parts.path if parts.scheme == "file" else parts.path.strip("/")


def columns(job: Job) -> Columns:
    """What each new column is made of, as far as the job itself tells: not where vectors are found in the table."""
    match job:
        case EmbedJob():
            return {job.output_column: [(job.input, name) for name in job.text_columns]}
        case ClassifyJob():
            labels = [(job.labels_table, job.label_column)] if job.labels_table else []
            return {job.output_column: [(job.input, job.text_column), *labels]}
        case JoinJob():
            return _pairs(job)
        case DedupJob():
            compared = _compared(job.input, job.text_column or job.column)
            ids = [(job.input, job.id_column)]
            return {"id": ids, "group": [*ids, *compared], "score": compared}
        case MineJob():
            return _translations(job)
    return {}


def written(result: Mapping[str, Any]) -> int | None:
    """The rows of the output, None where the result does not tell."""
    rows = result.get("rows", {}).get("out", result.get("pairs", result.get("input", {}).get("kept")))
    return None if rows is None else int(rows)


def _pairs(job: JoinJob) -> Columns:
    right = job.right or job.left
    left_column = job.text_column or job.column
    right_column = job.right_text_column or job.right_column or left_column
    compared = _compared(job.left, left_column) + _compared(right, right_column)
    ids = {"left_id": [(job.left, job.id_column)], "right_id": [(right, job.right_id_column or job.id_column)]}
    return {**ids, "score": list(dict.fromkeys(compared))}


def _translations(job: MineJob) -> Columns:
    # Without a model the texts may be there to be filtered by, and the vectors in a column that the job does not name.
    texts = (job.text_column, job.target_text_column or job.text_column) if job.model else (None, None)
    source, target = job.column or texts[0], job.target_column or job.column or texts[1]
    compared = [*_compared(job.source, source), *_compared(job.target, target)]
    ids = {
        "source_id": [(job.source, job.id_column)],
        "target_id": [(job.target, job.target_id_column or job.id_column)],
    }
    return {**ids, "score": compared, "cosine": compared}


def _compared(where: str, column: str | None) -> list[tuple[str, str]]:
    return [] if column is None else [(where, column)]


def _field(origins: list[tuple[str, str]]) -> Fields:
    return Fields(inputFields=[InputField(*address(where), field=column) for where, column in origins])

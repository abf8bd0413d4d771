"""The lineage of a job for OpenLineage: input and output tables, and the origins of the output columns."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow.providers.common.compat.openlineage.facet import (
    ColumnLineageDatasetFacet,
    Dataset,
    Fields,
    InputField,
    OutputDataset,
    OutputStatisticsOutputDatasetFacet,
)
from airflow.providers.openlineage.extractors import OperatorLineage

from st_airflow import assets
from st_spark.specs.base import Job
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import ClassifyJob, EmbedJob, IndexJob, SearchJob

# The (table, column) pairs that an output column is computed from; a column without a known name is left out.
Origins = list[tuple[str, str | None]]


def of(job: Job, result: Mapping[str, Any] | None) -> OperatorLineage[Any, Any]:
    """Return the lineage of a job; with its result also the number of rows written."""
    tables = [where for where, _ in job.tables()]
    output = getattr(job, "output", None)
    if output is None:  # a search for one query
        return OperatorLineage(inputs=[Dataset(*address(where)) for where in dict.fromkeys(tables)])
    tables.remove(output)  # once: a job may read and write one table
    others = job.other_outputs()
    for other in others:
        tables.remove(other)
    fields = {
        name: Fields(inputFields=[InputField(*address(where), field=column) for where, column in origins])
        for name, origins in columns(job).items()
        if origins
    }
    facets: dict[str, Any] = {"columnLineage": ColumnLineageDatasetFacet(fields=fields)} if fields else {}
    rows = rows_written(result or {})
    counted: dict[str, Any] = (
        {} if rows is None else {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows)}
    )
    written = OutputDataset(*address(output), facets=facets, outputFacets=counted)
    outputs = [written, *(OutputDataset(*address(other)) for other in others)]
    return OperatorLineage(inputs=[Dataset(*address(where)) for where in dict.fromkeys(tables)], outputs=outputs)


def address(where: str) -> tuple[str, str]:
    """Return the namespace and the name of a table by OpenLineage's rules: "spark" for catalog tables."""
    if assets.is_relative(where):
        return "file", where
    parts = urlsplit(assets.uri(where))
    if parts.scheme == assets.CATALOG:
        return "spark", unquote(parts.netloc)
    namespace = f"{parts.scheme}://{parts.netloc}" if parts.netloc else parts.scheme
    path = unquote(parts.path)
    return namespace, path if parts.scheme == "file" else path.strip("/")


def columns(job: Job) -> dict[str, list[tuple[str, str]]]:
    """Return the origins of each new column, as far as the job names them (a vector column may be found later)."""
    pairs = {name: [(where, column) for where, column in origins if column] for name, origins in _origins(job).items()}
    return {name: list(dict.fromkeys(origins)) for name, origins in pairs.items()}


def _origins(job: Job) -> dict[str, Origins]:
    match job:
        case EmbedJob():
            return {job.output_column: [(job.input, name) for name in job.text_columns]}
        case ClassifyJob():
            labels: Origins = [(job.labels_table, job.label_column)] if job.labels_table else []
            return {job.output_column: [(job.input, job.text_column), *labels]}
        case IndexJob() | SearchJob():
            return {"list": [(job.table, job.column)]} if isinstance(job, IndexJob) else _origins_of_search(job)
        case JoinJob():
            right = job.right or job.left
            left_column = job.column or job.text_column
            own = job.right_column or job.right_text_column or job.text_column
            right_column = own if job.right else left_column
            return {
                "left_id": [(job.left, job.id_column)],
                "right_id": [(right, job.right_id)],
                "score": [(job.left, left_column), (right, right_column)],
                **{f"left_{name}": [(job.left, name)] for name in job.added_columns[0]},
                **{f"right_{name}": [(right, name)] for name in job.added_columns[1]},
            }
        case DedupJob():
            ids, compared = (job.input, job.id_column), (job.input, job.text_column or job.column)
            return {"id": [ids], "group": [ids, compared], "score": [compared]}
        case ClusterJob():
            compared = (job.input, (job.text_column if job.model else None) or job.column)
            return {"id": [(job.input, job.id_column)], "cluster": [compared], "score": [compared]}
        case MineJob():
            # Without a model, texts are only filtered; the vectors may be in a column that the job does not name.
            texts = (job.text_column, job.target_text_column or job.text_column) if job.model else (None, None)
            pair: Origins = [
                (job.source, job.column or texts[0]),
                (job.target, job.target_column or texts[1]),
            ]
            return {
                "source_id": [(job.source, job.id_column)],
                "target_id": [(job.target, job.target_id_column or job.id_column)],
                "score": pair,
                "cosine": pair,
            }
    return {}


def _origins_of_search(job: SearchJob) -> dict[str, Origins]:
    """Return the origins of the columns that the job names. By default it writes all columns."""
    assert job.queries is not None
    columns: dict[str, Origins] = {f"query_{name}": [(job.queries, name)] for name in job.names("query_columns") or ()}
    columns |= {name: [(job.table, name)] for name in job.names("columns") or ()}
    return {**columns, "score": [(job.queries, job.text_column or job.query_column), (job.table, job.column)]}


def rows_written(result: Mapping[str, Any]) -> int | None:
    """Return the number of rows of the output, None if the result does not have it."""
    rows = result.get("rows", {}).get("out", result.get("pairs", result.get("input", {}).get("kept")))
    return None if rows is None else int(rows)

"""The record of the run that wrote a table: which job, when, with which version, and its counts.

A Parquet folder has it in a file, a Delta table in the commit, another catalog table in its properties. Tables in
Iceberg and Hudi have none. (The footer of a Parquet file is written before the counts are known.)
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from st_spark.spark.filesystem import files_of
from st_spark.spark.settings import changed
from st_spark.tables.catalog import TRANSACTIONAL, describe, properties, set_properties
from st_spark.tables.names import parse_name

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.tables.writers import Writer

_FILE = "_st-spark-run.json"
_DELTA_SETTING = "spark.databricks.delta.commitInfo.userMetadata"
_PREFIX = "st_spark.run."
_log = logging.getLogger(__name__)


def keep(writer: "Writer", record: Mapping[str, Any]) -> None:
    """Store the record of a table that is written. The job must not fail any more, so an error is only logged."""
    try:
        if writer.format == "parquet":
            files_of(writer.spark).write(f"{writer.where.rstrip('/')}/{_FILE}", json.dumps(record, indent=2) + "\n")
        elif writer.format == "table" and writer.provider not in TRANSACTIONAL:
            set_properties(writer.spark, str(parse_name(writer.where)), _to_properties(record))
    except Exception as error:  # noqa: BLE001
        _log.warning("%s is written, but not the record of this run: %s", writer.where, error)


@contextmanager
def in_commits(spark: "SparkSession", record: Mapping[str, Any]) -> Iterator[None]:
    """Let Delta store the record in its commits inside `with`."""
    with changed(spark, {_DELTA_SETTING: json.dumps({"st_spark": record})}):
        yield


def last_run(spark: "SparkSession", where: str, table_format: str) -> dict[str, Any] | None:
    """Return the record of the last run that wrote a table; None if there is none."""
    if table_format == "delta":
        return _from_history(spark, f"delta.`{files_of(spark).absolute(where)}`")
    if table_format == "table":
        name = parse_name(where)
        found = describe(spark, name) if name else None
        if name is None or found is None or found.kind == "VIEW":
            return None
        if found.provider == "delta":
            return _from_history(spark, str(name))
        return _from_properties(properties(spark, name))
    files, path = files_of(spark), f"{where.rstrip('/')}/{_FILE}"
    return dict(json.loads(files.read(path))) if files.exists(path) else None


def _from_history(spark: "SparkSession", name: str) -> dict[str, Any] | None:
    """Return the record of the newest commit that has one. Delta counts the rows of each commit itself."""
    for row in spark.sql(f"DESCRIBE HISTORY {name}").orderBy("version", ascending=False).collect():
        text = row["userMetadata"] or ""
        if text.startswith('{"st_spark"'):
            record = dict(json.loads(text)["st_spark"])
            rows = {"written": int(row["operationMetrics"].get("numOutputRows", 0))}
            return {**record, "rows": record.get("rows") or rows, "version": row["version"]}
    return None


def _to_properties(record: Mapping[str, Any]) -> dict[str, str]:
    """Return a record as properties. Spark hides values with the word token, so these counts are left out."""
    rows = {name: count for name, count in record.get("rows", {}).items() if "token" not in name}
    return {f"{_PREFIX}{name}": json.dumps(value) for name, value in {**record, "rows": rows}.items()}


def _from_properties(values: Mapping[str, str]) -> dict[str, Any] | None:
    found = {name: text for name, text in values.items() if name.startswith(_PREFIX)}
    return {name.removeprefix(_PREFIX): json.loads(text) for name, text in found.items()} or None

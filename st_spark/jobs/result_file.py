"""The result of a job as a JSON file: on this disk, or wherever Spark can write."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from st_spark.errors import InputError, StSparkError


def prepare(path: str) -> None:
    """Before any work: refuses a place that cannot be written to, and removes an old result that could be mistaken.

    Args:
        path: Of the result. What has a scheme (s3a://, hdfs://, file://) is Spark's, and is overwritten when it is
            written.

    Raises:
        InputError: There is no such folder.
    """
    if "://" in path:
        return
    if not Path(path).absolute().parent.is_dir():
        raise InputError(f"There is no folder for the result {path}.", "make it, or name another --result.")
    Path(path).unlink(missing_ok=True)


def write(path: str, result: Mapping[str, Any]) -> None:
    """Writes a result whole or not at all (on object stores as well: a file is there once it is closed)."""
    text = json.dumps(result, indent=2, default=str) + "\n"
    if "://" in path:
        _write_by_spark(path, text)
        return
    partial = Path(path).with_name(f".{Path(path).name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def failure(kind: str, error: StSparkError) -> dict[str, Any]:
    """What the result of a failed job says."""
    return {"job": kind, "error": {"kind": type(error).__name__, "problem": error.problem, "fix": error.fix}}


def _write_by_spark(path: str, text: str) -> None:
    """Through the session that the job ran in, for it has the credentials."""
    from pyspark.sql import SparkSession

    from st_spark.spark.filesystem import files_of

    spark = SparkSession.getActiveSession()
    if spark is None:
        raise InputError(f"Without Spark nothing can be written to {path}.", "name a local file with --result.")
    files_of(spark).write(path, text)

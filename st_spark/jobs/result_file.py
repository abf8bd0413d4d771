"""Write the result of a job as a JSON file: on the local disk, or where Spark can write."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from st_spark.errors import InputError, StSparkError


def prepare(path: str, tables: Iterable[str] = ()) -> None:
    """Check that the folder of the result exists, and delete an older result. Folders with a scheme are not checked.

    Args:
        path: The result file.
        tables: The tables of the job. The result must not lie in one of them.
    """
    check_outside(path, "--result", tables)
    if "://" in path:
        return
    if not Path(path).absolute().parent.is_dir():
        raise InputError(f"There is no folder for the result {path}.", "make it, or name another --result.")
    Path(path).unlink(missing_ok=True)


def check_outside(path: str, flag: str, tables: Iterable[str]) -> None:
    """Check that a file does not lie in a table: it would be deleted with the table, or make it unreadable."""
    from st_spark.spark.filesystem import ArrowFiles
    from st_spark.tables.overlap import is_inside

    place = ArrowFiles().real(path)
    for table in tables:
        if is_inside(place, ArrowFiles().real(table)):
            raise InputError(f"{flag} {path} is in the table {table}.", "name a file outside of the tables.")


def write(path: str, result: Mapping[str, Any]) -> None:
    """Write a result to a file beside the path, then rename it. Readers never see a partial file."""
    text = json.dumps(result, indent=2, default=str) + "\n"
    if "://" in path:
        _write_by_spark(path, text)
        return
    partial = Path(path).with_name(f".{Path(path).name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def failure(kind: str, error: StSparkError) -> dict[str, Any]:
    """Return the result of a failed job."""
    return {"job": kind, "error": {"kind": type(error).__name__, "problem": error.problem, "fix": error.fix}}


def _write_by_spark(path: str, text: str) -> None:
    """Write with the session of the job, because it has the credentials."""
    from pyspark.sql import SparkSession

    from st_spark.spark.filesystem import files_of

    spark = SparkSession.getActiveSession()
    if spark is None:
        raise InputError(
            f"The result {path} needs a Spark session, and there is none.", "name a local file with --result."
        )
    files, partial = files_of(spark), f"{path}.partial"
    files.write(partial, text)
    files.delete(path)
    files.move(partial, path)

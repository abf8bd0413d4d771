"""Write the result of a job as a JSON file, or its report: on the local disk, or where Spark can write."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from st_spark.errors import InputError, StSparkError


def prepare(path: str, tables: Iterable[str] = (), flag: str = "--result") -> None:
    """Check that a file can be written, and delete an older one. Places with a scheme are not checked.

    Args:
        path: The file of the result, or of the report.
        tables: The tables of the job. The file must not lie in one of them.
        flag: The option that names the file.
    """
    check_outside(path, flag, tables)
    if "://" in path:
        return
    if not Path(path).absolute().parent.is_dir():
        raise InputError(f"There is no folder for the {flag[2:]} {path}.", f"make it, or name another {flag}.")
    try:
        Path(path).unlink(missing_ok=True)
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        raise InputError(f"Cannot write {flag} {path}: {error}.", f"name another {flag}.") from None


def check_outside(path: str, flag: str, tables: Iterable[str]) -> None:
    """Check that a file does not lie in a table: it would be deleted with the table, or make it unreadable."""
    from st_spark.spark.filesystem import ArrowFiles
    from st_spark.tables.overlap import is_inside

    place = ArrowFiles().real(path)
    for table in tables:
        if is_inside(place, ArrowFiles().real(table)):
            raise InputError(f"{flag} {path} is in the table {table}.", "name a file outside of the tables.")


def write(path: str, result: Mapping[str, Any]) -> None:
    """Write a result; see write_text()."""
    write_text(path, json.dumps(result, indent=2, default=str) + "\n")


def write_text(path: str, text: str) -> None:
    """Write a text to a file beside the path, then rename it. Readers never see a partial file."""
    if "://" in path:
        _write_by_spark(path, text)
        return
    _partial(path).write_text(text, encoding="utf-8")
    _partial(path).replace(path)


def _partial(path: str) -> Path:
    return Path(path).with_name(f".{Path(path).name}.partial")


def failure(kind: str, error: StSparkError) -> dict[str, Any]:
    """Return the result of a failed job."""
    return {"job": kind, "error": {"kind": type(error).__name__, "problem": error.problem, "fix": error.fix}}


def _write_by_spark(path: str, text: str) -> None:
    """Write with the session of the job, because it has the credentials."""
    from pyspark.sql import SparkSession

    from st_spark.spark.filesystem import files_of

    spark = SparkSession.getActiveSession()
    if spark is None:
        raise InputError(f"{path} needs a Spark session, and there is none.", "name a local file.")
    files, partial = files_of(spark), f"{path}.partial"
    if files.is_folder(path):
        raise InputError(f"{path} is a folder.", "name a file in it.")
    files.write(partial, text)
    files.delete(path)
    files.move(partial, path)

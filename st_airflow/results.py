"""The result file of a job: the driver writes it, Airflow reads it. It is a local file or an object."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.configuration import conf

from st_airflow import package
from st_spark.errors import PlatformError


def default_folder(remote: bool) -> str:
    """Return the folder for results: the option `results` of the section st_spark, or else a local folder.

    Args:
        remote: Whether the driver runs on another machine than this worker.

    Raises:
        PlatformError: The driver is remote and the option is not set.
    """
    if chosen := conf.get("st_spark", "results", fallback=None):
        return str(chosen).rstrip("/")
    if remote:
        raise PlatformError(
            "The driver runs on the cluster, where this worker cannot read its result.",
            "name a folder that both reach: results in the section [st_spark] of airflow.cfg, or result_path of the "
            "operator.",
        )
    return str(package.folder() / "results")


def name(keys: Sequence[str], job: str) -> str:
    """Return the file name of a task's result: the same for each try, different for different jobs."""
    plain = "/".join(re.sub(r"[^\w.=-]", "_", key) for key in keys)
    digest = hashlib.sha256("\0".join([*keys, job]).encode()).hexdigest()[:8]
    return f"{plain}-{digest}.json"


def prepare(path: str, conn_id: str | None = None) -> None:
    """Make the folder if it is local, and remove an older result; PlatformError if that fails."""
    with _reached(path):
        if "://" not in path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        _open(path, conn_id).unlink(missing_ok=True)


def read(path: str, conn_id: str | None = None) -> dict[str, Any] | None:
    """Return a result. None if there is no file, or half a file of a driver that was killed while it wrote.

    Raises:
        PlatformError: The place of the result cannot be reached.
    """
    with _reached(path):
        try:
            content = _open(path, conn_id).read_bytes()
        except FileNotFoundError:
            return None
    try:
        result = json.loads(content)
    except ValueError:
        return None
    return result if isinstance(result, dict) else None


@contextmanager
def _reached(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ImportError, ValueError) as error:
        raise PlatformError(
            f"The result {path} cannot be reached: {type(error).__name__}: {error}.",
            "check the folder, result_conn_id, and that the Airflow provider of its object store is installed.",
        ) from error


def _open(path: str, conn_id: str | None) -> Any:  # noqa: ANN401  (both have the methods of pathlib)
    return ObjectStoragePath(path, conn_id=conn_id) if "://" in path else Path(path)

"""The result of a job, as the driver writes it and Airflow reads it: a local file or an object."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.configuration import conf

from st_airflow import package
from st_spark.errors import PlatformError


def default_folder(remote: bool) -> str:
    """Where results go when an operator does not say: see the option `results` in the section st_spark.

    Args:
        remote: Whether the driver runs elsewhere than this worker.

    Raises:
        PlatformError: The driver could write nothing that this worker can read.
    """
    if chosen := conf.get("st_spark", "results", fallback=None):
        return str(chosen).rstrip("/")
    if remote:
        raise PlatformError(
            "The driver runs on the cluster, and its result would stay there.",
            "name a folder that both reach: results in the section [st_spark] of airflow.cfg, or result_path of the "
            "operator.",
        )
    return str(package.folder() / "results")


def name(keys: Sequence[str], job: str) -> str:
    """The file name of a task's result: the same at each try, another for another job."""
    plain = "/".join(re.sub(r"[^\w.=-]", "_", key) for key in keys)
    mark = hashlib.sha256("\0".join([*keys, job]).encode()).hexdigest()[:8]
    return f"{plain}-{mark}.json"


def prepare(path: str, conn_id: str | None = None) -> None:
    """Makes the folder, where it is a local one, and removes an older result."""
    if "://" not in path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    _open(path, conn_id).unlink(missing_ok=True)


def read(path: str, conn_id: str | None = None) -> dict[str, Any] | None:
    """A result, None where there is none."""
    found = _open(path, conn_id)
    try:
        text = found.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return dict(json.loads(text))


def _open(path: str, conn_id: str | None = None) -> Any:  # noqa: ANN401  (both have the methods of pathlib)
    return ObjectStoragePath(path, conn_id=conn_id) if "://" in path else Path(path)

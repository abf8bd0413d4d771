"""Start the session of a job, and load meanwhile what the job needs: the libraries of models take seconds."""

import importlib
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from st_spark.spark import session
from st_spark.specs.fields import ModelOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from st_spark.specs.base import Job

# The check of a model computes on the meta device, and torch then loads its compiler.
_DRIVER_LIBRARIES = ("transformers", "st_spark.model.check", "torch._dynamo")


def start(job: "Job") -> "SparkSession":
    """Return the session that runs, or start a local one whose Python workers have their libraries from the start.

    Raises:
        PlatformError: Spark cannot be started.
    """
    has_model = isinstance(job, ModelOptions) and job.model is not None
    if has_model:
        _in_background(_load_libraries)
    daemon = "st_spark.steps.model_daemon" if has_model else "st_spark.steps.python_daemon"
    spark = session.start(delta=any(is_delta(*table) for table in job.tables()), python_daemon=daemon)
    if session.is_own():
        _in_background(lambda: _start_python(spark))
    return spark


def _in_background(work: "Callable[[], None]") -> None:
    threading.Thread(target=work, daemon=True).start()


def _load_libraries() -> None:
    """Load what the driver needs to check a model. Errors come up again where the libraries are used."""
    with suppress(Exception):
        for name in _DRIVER_LIBRARIES:
            importlib.import_module(name)


def _start_python(spark: "SparkSession") -> None:
    """Start the Python daemon by a query. Tasks of RDDs have a daemon of their own."""
    with suppress(Exception):
        spark.range(1, numPartitions=1).mapInArrow(lambda batches: batches, "id bigint").collect()


def is_delta(where: str, table_format: str | None) -> bool:
    """Return whether a local session needs Delta for this table. A remote table needs its format given."""
    local = Path(where.removeprefix("file:"), "_delta_log")
    return table_format == "delta" or (table_format is None and local.is_dir())

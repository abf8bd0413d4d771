"""Check the Spark connection. Otherwise spark-submit waits a minute for its master, or uses another master."""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from st_spark.errors import InputError, PlatformError

_SECONDS = 5.0


class ConnectionMissingError(PlatformError):
    """A connection that does not exist. A retry cannot help."""


def require(conn_id: str) -> None:
    """Check that a connection exists, and that the Spark provider can use it. Without it the provider would use YARN.

    Raises:
        ConnectionMissingError: It does not exist.
        InputError: It names Kubernetes, and the package for it is missing.
    """
    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConnectionMissingError(
            f"There is no connection {conn_id!r}.",
            f"make it (airflow connections add {conn_id} --conn-type spark --conn-host spark://HOST --conn-port 7077), "
            "or name another conn_id.",
        ) from None
    if "k8s" in f"{found.conn_type}://{found.host}" and not _has_kubernetes():
        raise InputError(
            f"The connection {conn_id!r} names Kubernetes, and this worker has no package for it.",
            "pip install 'apache-airflow-providers-apache-spark[cncf-kubernetes]'.",
        )


def _has_kubernetes() -> bool:
    try:
        import_module("airflow.providers.cncf.kubernetes")
    except ImportError:
        return False
    return True


def check(conn_id: str, settings: Mapping[str, Any], env: Mapping[str, Any] | None) -> None:
    """Check that this worker has spark-submit, and that a standalone master answers.

    Args:
        conn_id: The connection.
        settings: The settings of the connection: master, spark_binary.
        env: More environment variables for spark-submit.

    Raises:
        PlatformError: One of them is missing.
    """
    program = str(settings["spark_binary"])
    if shutil.which(program, path=(env or {}).get("PATH", os.environ.get("PATH"))) is None:
        raise PlatformError(
            f"There is no {program} on the PATH of this worker.",
            "add Spark's bin folder to it, or pip install pyspark in a separate environment and add its bin folder.",
        )
    master = str(settings["master"])
    addresses = re.findall(r"([^,/:]+):(\d+)", master.removeprefix("spark://")) if master.startswith("spark://") else []
    if addresses and not any(_answers(host, int(port)) for host, port in addresses):
        raise PlatformError(
            f"The Spark master {master} of the connection {conn_id!r} does not answer.",
            "start it, or correct host and port under Admin > Connections.",
        )


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True

"""Check the Spark connection. Otherwise spark-submit waits a minute for its master, or uses another master."""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from importlib.util import find_spec
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
        host = BaseHook.get_connection(conn_id).host or ""
    except AirflowNotFoundException:
        raise ConnectionMissingError(
            f"There is no connection {conn_id!r}.",
            f"make it (airflow connections add {conn_id} --conn-type spark --conn-host spark://HOST --conn-port 7077), "
            "or name another conn_id.",
        ) from None
    if host.startswith("k8s") and find_spec("kubernetes") is None:
        raise InputError(
            f"The connection {conn_id!r} names Kubernetes, and this worker has no package for it.",
            "pip install 'apache-airflow-providers-apache-spark[cncf-kubernetes]'.",
        )


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

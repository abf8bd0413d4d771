"""Checks that a Spark connection can work, before spark-submit waits a minute for nobody or asks another cluster."""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from st_spark.errors import PlatformError

_SECONDS = 5.0


class ConnectionMissingError(PlatformError):
    """A connection that somebody has to make: trying again does not help."""


def require(conn_id: str) -> None:
    """Refuses a connection that does not exist; upstream takes it for YARN.

    Raises:
        ConnectionMissingError: There is none of this name.
    """
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConnectionMissingError(
            f"There is no connection {conn_id!r}.",
            f"make it (airflow connections add {conn_id} --conn-type spark --conn-host spark://HOST --conn-port 7077), "
            "or name another conn_id.",
        ) from None


def check(conn_id: str, settings: Mapping[str, Any], env: Mapping[str, Any] | None) -> None:
    """Refuses a machine without spark-submit, and a standalone master that nobody answers for.

    Args:
        conn_id: The connection.
        settings: What it was resolved to: master, spark_binary.
        env: Further environment variables of spark-submit.

    Raises:
        PlatformError: The first thing that is missing.
    """
    program = str(settings["spark_binary"])
    if shutil.which(program, path=(env or {}).get("PATH", os.environ.get("PATH"))) is None:
        raise PlatformError(
            f"There is no {program} on the PATH of this worker.",
            "put the bin folder of a Spark there, or pip install pyspark in an environment of its own and add that.",
        )
    master = str(settings["master"])
    addresses = re.findall(r"([^,/:]+):(\d+)", master.removeprefix("spark://")) if master.startswith("spark://") else []
    if addresses and not any(_answers(host, int(port)) for host, port in addresses):
        raise PlatformError(
            f"Nobody answers at {master}, the master of the connection {conn_id!r}.",
            "start it, or correct host and port under Admin > Connections.",
        )


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True

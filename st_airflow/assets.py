"""Tables as assets of Airflow."""

import re
from pathlib import PurePosixPath

from airflow.sdk import Asset


def table(where: str) -> Asset:
    """The asset of a table, for `outlets` and for `schedule`: the same for each way to write its path.

    Args:
        where: A path (/data/x, s3://bucket/x, s3a://bucket/x) or the name of a catalog table.
    """
    return Asset(where, uri(where))


def uri(where: str) -> str:
    """The address of a table as Airflow and OpenLineage write it."""
    if re.match(r"[a-z][\w+.-]*://", where):
        return re.sub(r"^s3[an]://", "s3://", where).rstrip("/")
    if "/" in where:
        return f"file://{PurePosixPath(where)}"
    return f"x-spark-table://{where}"

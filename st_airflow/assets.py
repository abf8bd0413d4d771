"""Tables as Airflow assets."""

import re
from pathlib import PurePosixPath

from airflow.sdk import Asset


def table(where: str) -> Asset:
    """Return the asset of a table, for `outlets` and `schedule`. All spellings of a path give the same asset.

    Args:
        where: A path (/data/x, s3://bucket/x, s3a://bucket/x) or a catalog name.
    """
    return Asset(where, uri(where))


def uri(where: str) -> str:
    """Return the URI of a table as Airflow and OpenLineage write it."""
    if re.match(r"[a-z][\w+.-]*://", where):
        return re.sub(r"^s3[an]://", "s3://", where).rstrip("/")
    if "/" in where:
        return f"file://{PurePosixPath(where)}"
    return f"x-spark-table://{where}"

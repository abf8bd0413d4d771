"""Tables as Airflow assets. Airflow compares them as text, so all spellings of a table must give the same text."""

import posixpath
import re
from collections.abc import Mapping
from urllib.parse import quote, urlunsplit

from airflow.sdk import Asset

from st_airflow.templates import is_template
from st_spark.errors import SpecError, check_no_secret

CATALOG = "x-spark-table"  # our scheme for tables of Spark's catalog; Airflow leaves schemes with x- as they are
# Schemes for the same files, and the one that OpenLineage uses.
_SCHEMES = {"s3a": "s3", "s3n": "s3", "abfs": "abfss", "wasb": "wasbs"}
_PATH = re.compile(r"(?:([A-Za-z][\w+.-]*):(?://([^/]*))?)?(/.*)?", re.DOTALL)
_PART = r"(?:\w+|`(?:[^`]|``)+`)"
_NAME = re.compile(rf"{_PART}(?:\.{_PART})*")
_UNRESERVED = "/:@!$&'()*+,;=~"  # what a path in a URI may hold as it is


def table(where: str) -> Asset:
    """Return the asset of a table, for `outlets` and `schedule`. All spellings of a table give the same asset.

    Args:
        where: An absolute path (/data/x), a URI (s3://bucket/x, s3a://bucket/x), or a catalog name.

    Raises:
        SpecError: It is a relative path or a template, which names no certain table.
    """
    return Asset(uri(where))


def of_output(job: Mapping[str, object]) -> list[Asset]:
    """Return the asset of a job's output; nothing for a template or a relative path, which name no certain table."""
    where = job.get("output")
    if not isinstance(where, str) or is_template(where):
        return []
    is_folder = job.get("output_format") not in (None, "table") and _NAME.fullmatch(where)
    return [] if is_relative(where) or is_folder else [table(where)]


def is_relative(where: str) -> bool:
    """Return whether a table is a relative path: another folder on each machine."""
    return not (where.startswith("/") or ":" in where or _NAME.fullmatch(where))


def uri(where: str) -> str:
    """Return the URI of a table as Airflow and OpenLineage write it; SpecError as in table()."""
    check_no_secret("the table", where)
    found = _PATH.fullmatch(where)
    if is_template(where) or is_relative(where) or (found and not any(found.groups()[1:])):
        raise SpecError(
            f"The table {where!r} cannot be an asset.",
            "give an absolute path, a URI or a catalog name, and no template.",
        )
    if found is None:
        return f"{CATALOG}://{_catalog_name(where)}"
    scheme, host, path = found.groups(default="")
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower()) or "file"
    return urlunsplit((scheme, host, quote(posixpath.normpath("/" + path.lstrip("/")), safe=_UNRESERVED), "", ""))


def _catalog_name(where: str) -> str:
    """Return a catalog name with its database, in lower case and without quotes, as Spark compares names."""
    found = re.findall(_PART, where)
    parts = [(part[1:-1].replace("``", "`") if part.startswith("`") else part).lower() for part in found]
    if len(parts) > 2 and parts[0] == "spark_catalog":
        parts = parts[1:]
    if len(parts) == 1:
        parts = ["default", *parts]
    return ".".join(quote(part, safe="").replace(".", "%2E") for part in parts)

"""Names of catalog tables, with one to three parts: table, schema.table or catalog.schema.table."""

import re
from dataclasses import dataclass

_PART = r"(?:`(?:[^`]|``)+`|\w+)"
_NAME = re.compile(rf"{_PART}(?:\.{_PART}){{0,2}}")
# The root of a file system, or a bucket, without the last slash.
_ROOT = re.compile(r"([\w+.-]+:(//[^/]*)?)?")


@dataclass(frozen=True)
class TableName:
    """The name of a catalog table. Its text is quoted, so that Spark reads any character as a part of the name."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        """Return the quoted name."""
        return ".".join(f"`{part.replace('`', '``')}`" for part in self.parts)

    def beside(self, state: str) -> "TableName":
        """Return the name of a helper table in the same schema."""
        return TableName((*self.parts[:-1], f"{self.parts[-1]}__st_spark_{state}"))

    @property
    def in_catalog(self) -> "TableName":
        """The name without its catalog, as ALTER TABLE ... RENAME TO needs it."""
        return TableName(self.parts[-2:])


def parse_name(text: str) -> TableName | None:
    """Return the name that a text is; None if it is not a valid name."""
    if not _NAME.fullmatch(text):
        return None
    parts = re.findall(_PART, text)
    return TableName(tuple(part[1:-1].replace("``", "`") if part.startswith("`") else part for part in parts))


def table_beside(where: str, what: str) -> str:
    """Return the path or name of a second table of an output: of docs docs__rejected, if `what` is rejected.

    An output can be a partition, such as docs/day=1. Its second table must not become a partition of docs, so its path
    is docs__rejected/day=1.
    """
    if where.endswith("`"):
        return f"{where[:-1]}__{what}`"
    parts = where.rstrip("/").split("/")
    start = next((place for place in range(len(parts), 0, -1) if "=" not in parts[place - 1]), 0)
    table = "/".join(parts[:start])
    at_root = 0 < start < len(parts) and _ROOT.fullmatch(table)  # a bucket has no folder beside it
    return "/".join([f"{table}/__{what}" if at_root else f"{table}__{what}", *parts[start:]])

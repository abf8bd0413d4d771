"""Metadata of a vector column: a table records which model and options made its vectors."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from st_spark.errors import InputError, TableError
from st_spark.tables.columns import check_columns

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

# The key of our metadata in a column's Spark metadata. Saved tables contain it.
METADATA_KEY = "st_spark"
# Vectors may be appended to a table only if all of these are equal.
_MUST_MATCH = (
    *("content", "dim", "prompt", "normalize_embeddings", "truncate_dim", "task", "precision"),
    *("labels", "template", "label_model"),
)


def column_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return Spark metadata for a column that st-spark made; values that are None are left out."""
    return {METADATA_KEY: {name: value for name, value in values.items() if value is not None}}


def vector_column(schema: "StructType", where: str, name: str | None = None) -> tuple[str, dict[str, Any]]:
    """Find the vector column of a table.

    Args:
        schema: The columns of the table.
        where: The name of the table, for errors.
        name: The column; by default the only one that st-spark made, else the only array column.

    Returns:
        The name of the column, and its metadata: {} if the table has none.

    Raises:
        InputError: There is no such column, or several to choose from.
    """
    arrays = [field.name for field in schema.fields if field.dataType.typeName() == "array"]
    marked = [column for column in arrays if METADATA_KEY in (schema[column].metadata or {})]
    if name is None:
        candidates = marked or arrays
        if len(candidates) != 1:
            raise InputError(
                f"{where} has {len(candidates)} embedding columns{': ' if candidates else ''}{', '.join(candidates)}.",
                "name one with --column." if candidates else "embed it first: `st-spark embed`.",
            )
        name = candidates[0]
    check_columns(schema, where, (), (name,))
    return name, dict((schema[name].metadata or {}).get(METADATA_KEY, {}))


def ranges_to_metadata(ranges: list[list[float]] | None) -> dict[str, list[float]] | None:
    """Return quantisation ranges in a form that column metadata can hold: it has no lists of lists."""
    return None if ranges is None else {"low": ranges[0], "high": ranges[1]}


def ranges_from_metadata(metadata: Mapping[str, Any]) -> list[list[float]] | None:
    """Return the ranges, [2, d], that a table's vectors were quantised with; None if there are none."""
    ranges = metadata.get("ranges")
    return None if ranges is None else [list(ranges["low"]), list(ranges["high"])]


def check_same_vectors(table: "StructType", new: "StructType", where: str, name: str) -> None:
    """Check that new vectors use the same model and options as the table; TableError if not."""
    theirs, ours = vector_column(table, where, name)[1], vector_column(new, where, name)[1]
    for key in _MUST_MATCH if theirs else ():
        if ours.get(key) != theirs.get(key):
            models = [theirs.get("model"), ours.get("model")]
            others = "" if models[0] == models[1] else f" (models {models[0]!r} and {models[1]!r})"
            raise TableError(
                f"Cannot append to {where}: its vectors use {key} {theirs.get(key)!r}, this job uses "
                f"{ours.get(key)!r}{others}.",
                "use the same model and options, or overwrite the table.",
            )

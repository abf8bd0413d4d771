"""Metadata of a column: a table records which model and options made its vectors, scores or labels."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from st_spark.errors import InputError
from st_spark.tables.columns import check_columns
from st_spark.tables.vector_types import is_vector_type

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

# The key of our metadata in a column's Spark metadata. Saved tables contain it.
METADATA_KEY = "st_spark"
# Models that were trained for one vector space: texts in 50 languages find the images of the other one.
_ONE_SPACE = {"clip-ViT-B-32", "clip-ViT-B-32-multilingual-v1"}
# What decides, with the text, what a vector is; and the name of the model.
_VECTOR = (
    *("model", "content", "prompt", "normalize_embeddings", "truncate_dim", "task", "max_seq_length", "precision"),
    *("chunk", "overlap", "pooling"),
)


def column_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return Spark metadata for a column that st-spark made; values that are None are left out."""
    return {METADATA_KEY: {name: value for name, value in values.items() if value is not None}}


def vector_metadata(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the metadata of pairs or groups says of the vectors that they were made from; None if unknown."""
    kept = {name: metadata[name] for name in _VECTOR if metadata.get(name) is not None}
    return kept or None


def check_comparable(
    one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str] = ("the left table", "the right table")
) -> None:
    """Check that vectors of two recipes can be compared; InputError with both recipes if not.

    The prompt, the task and the length may differ: queries have other ones than documents. So may the precision. A
    table whose metadata says nothing can be compared with any.

    Args:
        one: Metadata of a vector column.
        other: Metadata of another one.
        names: The tables, for the error.
    """
    models, recipes = [str(each.get("model")) for each in (one, other)], [_comparable(each) for each in (one, other)]
    if differing := _differing(one, other):
        first, second = (
            f"{model} ({', '.join(f'{name} {recipe[name]}' for name in differing)})"
            for model, recipe in zip(models, recipes, strict=True)
        )
        raise InputError(
            f"{names[0]} was embedded with {first}, {names[1]} with {second}. Their vectors cannot be compared.",
            "use one model for both.",
        )


def is_comparable(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether vectors of two recipes can be compared; see check_comparable()."""
    return not _differing(one, other)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return what differs between two recipes so that their vectors cannot be compared."""
    if not one or not other:
        return []
    ours, theirs = _comparable(one), _comparable(other)
    related = {PurePosixPath(str(each.get("model"))).name for each in (one, other)} <= _ONE_SPACE
    known = None not in (ours["content"], theirs["content"])
    return [name for name in ours if ours[name] != theirs[name] and (name != "content" or (known and not related))]


def _comparable(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": metadata.get("content")}


def field_metadata(schema: "StructType", column: str) -> dict[str, Any]:
    """Return our metadata of a column; {} if it has none."""
    return dict((schema[column].metadata or {}).get(METADATA_KEY, {}))


def add_metadata(df: "DataFrame", column: str, values: Mapping[str, Any]) -> "DataFrame":
    """Add to the metadata of a column that st-spark made."""
    return df.withMetadata(column, column_metadata({**field_metadata(df.schema, column), **values}))


def vector_column(schema: "StructType", where: str, name: str | None = None) -> tuple[str, dict[str, Any]]:
    """Find the vector column of a table.

    Args:
        schema: The columns of the table.
        where: The name of the table, for errors.
        name: The column; by default the only one that st-spark made, else the only one of arrays or vectors of
            pyspark.ml.

    Returns:
        The name of the column, and its metadata: {} if the table has none.

    Raises:
        InputError: There is no such column, or several to choose from.
    """
    arrays = [field.name for field in schema.fields if is_vector_type(field.dataType)]
    marked = [column for column in arrays if METADATA_KEY in (schema[column].metadata or {})]
    if name is None:
        candidates = marked or arrays
        if len(candidates) != 1:
            raise InputError(
                f"{where} has {len(candidates)} embedding columns{': ' if candidates else ''}{', '.join(candidates)}.",
                "name one: --column (or --right-column, --target-column), in Python column=."
                if candidates
                else "embed it first: `st-spark embed`.",
            )
        name = candidates[0]
    check_columns(schema, where, (), (name,))
    return name, field_metadata(schema, name)


def ranges_to_metadata(ranges: list[list[float]] | None) -> dict[str, list[float]] | None:
    """Return quantisation ranges in a form that column metadata can hold: it has no lists of lists."""
    return None if ranges is None else {"low": ranges[0], "high": ranges[1]}


def ranges_from_metadata(metadata: Mapping[str, Any]) -> list[list[float]] | None:
    """Return the ranges, [2, d], that a table's vectors were quantised with; None if there are none."""
    ranges = metadata.get("ranges")
    return None if ranges is None else [list(ranges["low"]), list(ranges["high"])]

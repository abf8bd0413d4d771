"""Check before the work that new rows fit the table that they are appended to: same columns, made in the same way."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from st_spark.errors import RecipeError, TableError
from st_spark.tables.metadata import vector_column

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

# Metadata that may differ: names of what `content` identifies, where the job ran, and what it measured. The ranges of
# int8 vectors are equal: a job that appends takes them from the table.
_INFORMATIVE = {
    *("model", "label_model", "revision", "dtype", "device", "id_column", "ranges"),
    *("recall", "cells", "nprobe", "expected_pairs", "best_per_row", "null_keys"),
}
_MEASURED = ("recall_", "cells_", "nprobe_")


def check_append(
    table: "StructType",
    new: "StructType",
    where: str,
    column: str,
    partitions: Iterable[str] = (),
    *,
    known: bool = False,
) -> None:
    """Check that new rows fit a table; TableError (RecipeError) with the differences if not.

    Args:
        table: The columns of the table.
        new: The columns of the new rows.
        where: The name of the table, for the error.
        column: The column that the job makes, with the metadata.
        partitions: Columns whose values are names of folders. Spark guesses their types, so these may differ.
        known: Whether the table must say how its column was made.
    """
    ours, theirs = ({field.name: field.dataType.simpleString() for field in schema.fields} for schema in (new, table))
    guessed = {name for name in partitions if name in ours and name in theirs}
    names = [name for name in sorted({*ours, *theirs} - guessed) if ours.get(name) != theirs.get(name)]
    if names:
        missing = "missing"
        kinds = (f"{name} ({theirs.get(name, missing)} there, {ours.get(name, missing)} here)" for name in names)
        raise (RecipeError if names == [column] and column in theirs else TableError)(
            f"Cannot add to {where}: the columns differ: {', '.join(kinds)}.",
            "use the same columns (--schema gives types to CSV and JSON lines), or overwrite the whole table.",
        )
    made = vector_column(table, where, column)[1]
    if known and not made:
        raise RecipeError(
            f"Cannot add to {where}: it does not say which model made its column {column!r}.",
            "embed all rows anew: --on-new-recipe rebuild.",
        )
    _check_same_recipe(made, vector_column(new, where, column)[1], where, column)


def _check_same_recipe(theirs: Mapping[str, Any], ours: Mapping[str, Any], where: str, column: str) -> None:
    there, here = _recipe(theirs), _recipe(ours)
    names = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    if not theirs or not names:  # a table without metadata says nothing
        return
    models = [theirs.get("model"), ours.get("model")]
    others = "" if models[0] == models[1] else f" (models {models[0]!r} and {models[1]!r})"
    one, other = (", ".join(f"{name} {_short(values.get(name))}" for name in names) for values in (there, here))
    raise RecipeError(
        f"Cannot add to {where}: its column {column!r} was made with {one}; this job uses {other}{others}.",
        "use the same model and options, or overwrite the whole table.",
    )


def _recipe(metadata: Mapping[str, Any], below: str = "") -> dict[str, Any]:
    """Return the metadata that decides what the values mean, flat; without options that are off."""
    values: dict[str, Any] = {}
    for name, value in metadata.items():
        if name != "recall_asked" and (name in _INFORMATIVE or name.startswith(_MEASURED)):
            continue
        if isinstance(value, Mapping):
            values |= _recipe(value, f"{below}{name}.")
        else:
            values[f"{below}{name}"] = value
    if metadata.get("dtype") == "int8":  # other formats differ by less than 0.0001 in the cosine
        values["dtype"] = "int8"
    return {name: value for name, value in values.items() if value is not None and value is not False and value != ""}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Columns of tables: are they there, do they hold texts, and how were the vectors in them made."""

from typing import TYPE_CHECKING, Any

from st_spark.errors import InputError, TableError, close

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import StructType

# The column in which Spark puts the raw text of a CSV or JSON row that it cannot read.
CORRUPT = "_st_spark_corrupt_row"
# The key in the embedding column's metadata under which a table says how its vectors were made.
FACTS = "st_spark"
# Of these, what two columns must have in common to stand in one table.
_DECISIVE = (
    *("content", "dim", "prompt", "normalize_embeddings", "truncate_dim", "task", "precision"),
    *("labels", "template", "label_model"),
)


def exact(name: str) -> "Column":
    """A column by its exact name, dots and all."""
    from pyspark.sql import functions as sf

    return sf.col("`" + name.replace("`", "``") + "`")


def check_columns(
    schema: "StructType", where: str, texts: tuple[str, ...], others: tuple[str, ...] = (), *, images: bool = False
) -> None:
    """Raises InputError unless the columns are there and the text columns hold strings (or files of images)."""
    from pyspark.sql.types import BinaryType, CharType, StringType, VarcharType

    names = [name for name in schema.names if name != CORRUPT]
    for name in (*texts, *others):
        if name not in names:
            near = close(name, names)
            fix = f"the table has {', '.join(names)}" + (f"; did you mean {near!r}?" if near else ".")
            raise InputError(f"{where} has no column {name!r}.", fix)
    for name in texts:
        kind = schema[name].dataType
        binary = isinstance(kind, BinaryType)
        if not isinstance(kind, StringType | CharType | VarcharType) and not (images and binary):
            hint = "choose a CLIP model if it holds images, else " if binary else ""
            raise InputError(
                f"The column {name!r} of {where} is no string column but {kind.simpleString()}.",
                f"{hint}name the text column, or cast this one to string before.",
            )


def vector_column(schema: "StructType", where: str, name: str | None = None) -> tuple[str, dict[str, Any]]:
    """The embedding column of a table and how its vectors were made ({} if the table does not say).

    Raises:
        InputError: No such column, or none or several to choose from.
    """
    arrays = [each.name for each in schema.fields if each.dataType.typeName() == "array"]
    marked = [name for name in arrays if FACTS in (schema[name].metadata or {})]
    if name is None:
        candidates = marked or arrays
        if len(candidates) != 1:
            raise InputError(
                f"{where} has {len(candidates)} embedding columns{': ' if candidates else ''}{', '.join(candidates)}.",
                "name one with --column." if candidates else "embed it first: `st-spark embed`.",
            )
        name = candidates[0]
    check_columns(schema, where, (), (name,))
    return name, dict((schema[name].metadata or {}).get(FACTS, {}))


def as_fact(ranges: list[list[float]] | None) -> dict[str, list[float]] | None:
    """The ranges of quantised vectors in a form that a column's metadata can hold: it knows no lists of lists."""
    return None if ranges is None else {"low": ranges[0], "high": ranges[1]}


def stored_ranges(facts: dict[str, Any]) -> list[list[float]] | None:
    """The ranges, [2, d], that a table says its vectors were quantised with; None where it says none."""
    found = facts.get("ranges")
    return None if found is None else [list(found["low"]), list(found["high"])]


def check_same_vectors(old: "StructType", new: "StructType", where: str, name: str) -> None:
    """Raises TableError if a table says that its column was made otherwise than the new one."""
    theirs, ours = vector_column(old, where, name)[1], vector_column(new, where, name)[1]
    for key in _DECISIVE if theirs else ():
        if ours.get(key) != theirs.get(key):
            raise TableError(
                f"The vectors in {where} were made otherwise: {key} is {theirs.get(key)!r} there, {ours.get(key)!r} "
                f"here (model {theirs.get('model')!r} there, {ours.get('model')!r} here).",
                "use the same model and options, or overwrite the table.",
            )

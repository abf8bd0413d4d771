"""How a table stores its vectors: as floats, as bytes with ranges, or as bits.

The metadata of the column says so. It stays with the column in Spark, so every task finds how to read it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyspark.sql import types as st

from st_spark.choices import BITS, RANGED
from st_spark.errors import InputError
from st_spark.join.shuffle import VECTOR
from st_spark.model.quantization import Form
from st_spark.tables.metadata import field_metadata, ranges_from_metadata
from st_spark.tables.vector_types import holds_floats

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

_FLOATS = "name a column of array<float>, array<double> or pyspark.ml vectors, or one that `st-spark embed` has made."
_ADD = 'or say it: df.withMetadata(column, {"st_spark": {...}}), see docs/how_to/fewer_bits.md.'


def stored_form(
    schema: "StructType", column: str = VECTOR, where: str = "the table", dimension: int | None = None
) -> Form | None:
    """Return how the vectors of a column are stored; None for floats.

    Args:
        schema: The columns of the table.
        column: The vector column.
        where: The name of the table, for errors.
        dimension: Dimensions of the vectors, if the metadata does not say it.

    Raises:
        InputError: The column cannot be vectors, or its metadata does not say how to read them.
    """
    kind, metadata = schema[column].dataType, field_metadata(schema, column)
    precision = metadata.get("precision", "float32")
    if holds_floats(kind) and precision == "float32":
        return None
    if not isinstance(kind, st.ArrayType) or not isinstance(kind.elementType, st.IntegralType):
        stored = f"{kind.simpleString()}" + ("" if precision == "float32" else f", and its metadata says {precision}")
        raise InputError(f"The column {column!r} of {where} holds {stored}.", _FLOATS)
    if precision == "float32":
        raise InputError(
            f"The column {column!r} of {where} holds {kind.simpleString()}, and its metadata names no precision.",
            f"cast it to array<float> if these are the values of the vectors, {_ADD}",
        )
    return form_of(metadata, column, where, dimension)


def form_of(metadata: Mapping[str, Any], column: str, where: str, dimension: int | None = None) -> Form:
    """Return what the metadata of a column of bytes or bits says; see stored_form()."""
    precision, ranges = str(metadata["precision"]), ranges_from_metadata(metadata)
    if precision in RANGED and ranges is None:
        raise InputError(
            f"The column {column!r} of {where} holds {precision}, and its metadata has no ranges.",
            f"embed the table with `st-spark embed --precision {precision}`, which keeps them, {_ADD}",
        )
    found = len(ranges[0]) if ranges else metadata.get("dim", dimension)
    if found is None:
        raise InputError(
            f"The column {column!r} of {where} holds {precision}, and its metadata does not say how many dimensions.",
            f"embed the table with `st-spark embed --precision {precision}`, which says it, {_ADD}",
        )
    return Form(precision, int(found), ranges)


def check_score(precision: str, score: str, where: str) -> None:
    """Check that vectors can be compared by a score; InputError if not. Signs have no lengths."""
    if precision in BITS and score != "cosine":
        raise InputError(
            f"The vectors of {where} are {precision}, which {score} cannot compare: bits are signs without lengths.",
            "choose the score cosine: 1 - 2 * (share of the bits that differ).",
        )

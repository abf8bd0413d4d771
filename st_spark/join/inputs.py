"""The columns of a join's inputs: checked, renamed, and without the rows that can meet nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf
from pyspark.sql import types as st

from st_spark.errors import InputError
from st_spark.join.shuffle import ID, VECTOR, key_name
from st_spark.spark.cluster import use_this_python
from st_spark.tables.columns import check_columns, quoted_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Values that are equal in Spark exactly where they are in Arrow: NaN is not.
_KEYS = (st.StringType, st.IntegralType, st.BooleanType, st.DateType, st.TimestampType, st.DecimalType)


@dataclass(frozen=True)
class Sides:
    """The two sides of a join.

    Attributes:
        left: ID, VECTOR and `keys`, with all rows of the input.
        right: The same of the right input; None where the left one is joined with itself.
        keys: Columns that must be equal.
    """

    left: "DataFrame"
    right: "DataFrame | None"
    keys: tuple[str, ...]

    def ready(self) -> "Sides":
        """Without the rows that have no id or no key, which can meet nobody."""
        present = sf.col(ID).isNotNull()
        for key in self.keys:
            present &= sf.col(key).isNotNull()
        right = None if self.right is None else self.right.where(present)
        return Sides(self.left.where(present), right, self.keys)

    def id_types(self) -> tuple[st.DataType, st.DataType]:
        """Of the left and of the right ids."""
        right = self.left if self.right is None else self.right
        return self.left.schema[ID].dataType, right.schema[ID].dataType


def picked(
    df: "DataFrame",
    where: str,
    id_column: str,
    vector: str,
    on: Sequence[str],
    others: Mapping[str, str] = MappingProxyType({}),
) -> "DataFrame":
    """The columns that a join needs, by its own names; and others, whose new names are the keys.

    Raises:
        InputError: A column is missing or of a type that cannot be joined.
    """
    check_columns(df.schema, where, (), (id_column, vector, *on, *others.values()))
    kind = df.schema[id_column].dataType
    if not isinstance(kind, st.IntegralType | st.StringType):
        raise InputError(
            f"The id column {id_column!r} of {where} holds {kind.simpleString()}.", "cast it to bigint or string."
        )
    kind = df.schema[vector].dataType
    if not isinstance(kind, st.ArrayType) or not isinstance(kind.elementType, st.FloatType | st.DoubleType):
        raise InputError(
            f"The column {vector!r} of {where} holds {kind.simpleString()}.",
            "name a column of array<float> or array<double>, or cast this one (pyspark.ml vectors: vector_to_array).",
        )
    for name in on:
        if not isinstance(df.schema[name].dataType, _KEYS):
            said = df.schema[name].dataType.simpleString()
            raise InputError(f"The key {name!r} of {where} holds {said}.", "cast it to string.")
    use_this_python(df.sparkSession)
    keys = [quoted_column(name).alias(key_name(place)) for place, name in enumerate(on)]
    more = [quoted_column(name).alias(new) for new, name in others.items()]
    return df.select(quoted_column(id_column).alias(ID), quoted_column(vector).alias(VECTOR), *keys, *more)


def sides_of(
    left: "DataFrame", right: "DataFrame | None", names: Mapping[str, tuple[str, str]], on: Sequence[str] = ()
) -> Sides:
    """The sides of a join.

    Args:
        left: The left input.
        right: The right one. None, or the very same DataFrame and columns: the left one with itself.
        names: The columns of the ids and of the vectors of "left" and "right".
        on: Columns that must be equal.

    Raises:
        InputError: A column is missing or of a type that cannot be joined.
    """
    keys = tuple(key_name(place) for place in range(len(on)))
    one = picked(left, "the left table", *names["left"], on)
    if right is None or (right is left and names["left"] == names["right"]):
        return Sides(one, None, keys)
    other = picked(right, "the right table", *names["right"], on)
    for key, name in zip(keys, on, strict=True):
        ours, theirs = (side.schema[key].dataType.simpleString() for side in (one, other))
        if ours != theirs:
            raise InputError(
                f"The key {name!r} holds {ours} in the left table and {theirs} in the right one.", "cast one of them."
            )
    return Sides(one, other, keys)

"""The input tables of a join: their columns checked and renamed, and rows left out that cannot be in a pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyspark.sql import types as st

from st_spark.errors import InputError
from st_spark.join.shuffle import ID, VECTOR, key_name
from st_spark.spark.cluster import use_this_python
from st_spark.tables.columns import check_columns, quoted_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Types whose values are equal in Spark exactly if they are in Arrow. NaN is not.
_KEY_TYPES = (st.StringType, st.IntegralType, st.BooleanType, st.DateType, st.TimestampType, st.DecimalType)


@dataclass(frozen=True)
class TablePair:
    """The two tables of a join.

    Attributes:
        left: ID, VECTOR and `keys`, with all rows of the input.
        right: The same columns of the right input; None if the left one is joined with itself.
        keys: Columns that must be equal.
    """

    left: "DataFrame"
    right: "DataFrame | None"
    keys: tuple[str, ...]

    def joinable(self) -> "TablePair":
        """Return the tables without rows that have no id or no key. These cannot be in a pair."""
        right = None if self.right is None else self.right.dropna(subset=[ID, *self.keys])
        return TablePair(self.left.dropna(subset=[ID, *self.keys]), right, self.keys)

    def id_types(self) -> tuple[st.DataType, st.DataType]:
        """Return the types of the left and the right ids."""
        right = self.left if self.right is None else self.right
        return self.left.schema[ID].dataType, right.schema[ID].dataType


def table_pair(
    left: "DataFrame", right: "DataFrame | None", names: Mapping[str, tuple[str, str]], on: Sequence[str] = ()
) -> TablePair:
    """Return the tables of a join, from the names of the id and vector columns of "left" and "right".

    Without a right input, or with the same DataFrame and columns, the left one is joined with itself.

    Raises:
        InputError: A column is missing or of a type that cannot be joined.
    """
    keys = tuple(map(key_name, range(len(on))))
    one = select_columns(left, "the left table", *names["left"], on)
    if right is None or (right is left and names["left"] == names["right"]):
        return TablePair(one, None, keys)
    other = select_columns(right, "the right table", *names["right"], on)
    check_same_keys(left.schema, right.schema, on)
    return TablePair(one, other, keys)


def select_columns(
    df: "DataFrame",
    where: str,
    id_column: str,
    vector: str,
    on: Sequence[str],
    others: Mapping[str, str] = MappingProxyType({}),
) -> "DataFrame":
    """Return the columns that a join needs as ID, VECTOR and keys; and others, by their new names.

    Raises:
        InputError: A column is missing or of a type that cannot be joined.
    """
    check_join_columns(df.schema, where, id_column, vector, on, tuple(others.values()))
    use_this_python(df.sparkSession)
    keys = [quoted_column(name).alias(key_name(place)) for place, name in enumerate(on)]
    more = [quoted_column(name).alias(new) for new, name in others.items()]
    return df.select(quoted_column(id_column).alias(ID), quoted_column(vector).alias(VECTOR), *keys, *more)


def check_join_columns(
    schema: st.StructType, where: str, id_column: str, vector: str, on: Sequence[str], others: Sequence[str] = ()
) -> None:
    """Raise InputError if a column is missing or of a type that cannot be joined."""
    check_columns(schema, where, (), (id_column, vector, *on, *others))
    kind = schema[id_column].dataType
    if not isinstance(kind, st.IntegralType | st.StringType):
        raise InputError(
            f"The id column {id_column!r} of {where} holds {kind.simpleString()}.", "cast it to bigint or string."
        )
    kind = schema[vector].dataType
    if not isinstance(kind, st.ArrayType) or not isinstance(kind.elementType, st.FloatType | st.DoubleType):
        raise InputError(
            f"The column {vector!r} of {where} holds {kind.simpleString()}.",
            "name a column of array<float> or array<double>, or cast this one (pyspark.ml vectors: vector_to_array).",
        )
    for name in on:
        kind = schema[name].dataType
        if not isinstance(kind, _KEY_TYPES):
            raise InputError(f"The key {name!r} of {where} holds {kind.simpleString()}.", "cast it to string.")


def check_same_keys(left: st.StructType, right: st.StructType, on: Sequence[str]) -> None:
    """Raise InputError if a key has different types in both tables."""
    for name in on:
        ours, theirs = (schema[name].dataType.simpleString() for schema in (left, right))
        if ours != theirs:
            raise InputError(
                f"The key {name!r} holds {ours} in the left table and {theirs} in the right one.", "cast one of them."
            )

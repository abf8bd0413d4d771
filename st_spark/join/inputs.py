"""The input tables of a join: their columns checked and renamed, and rows left out that cannot be in a pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from st_spark.errors import InputError
from st_spark.join.shuffle import ID, VECTOR, key_name
from st_spark.join.stored_vectors import stored_form
from st_spark.spark.cluster import use_this_python
from st_spark.spark.hold import hold
from st_spark.tables.columns import check_columns, quoted_column
from st_spark.tables.metadata import check_comparable, field_metadata
from st_spark.tables.vector_types import vector_values

# Types of keys that Arrow compares as Spark does. Strings are among them, unless they have a collation.
_PLAIN_TYPES = (st.IntegralType, st.BooleanType, st.DateType, st.TimestampType, st.DecimalType)
# Other types of keys, and structs of all these.
_OTHER_TYPES = (st.StringType, st.FractionalType, st.TimestampNTZType, st.BinaryType)
_NUMBER = "_key_number"
# What errors call the tables of a join.
TABLES = ("the left table", "the right table")


@dataclass(frozen=True)
class TablePair:
    """The two tables of a join."""

    left: DataFrame  # ID, VECTOR and `keys`, with all rows of the input. See number_keys() for the types of the keys.
    right: DataFrame | None  # The same columns of the right input; None if the left one is joined with itself
    keys: tuple[str, ...]  # Columns that must be equal

    def joinable(self) -> "TablePair":
        """Return the tables without rows that have no id or no key. These cannot be in a pair."""
        right = None if self.right is None else self.right.dropna(subset=[ID, *self.keys])
        return TablePair(self.left.dropna(subset=[ID, *self.keys]), right, self.keys)

    def id_types(self) -> tuple[st.DataType, st.DataType]:
        """Return the types of the left and the right ids."""
        right = self.left if self.right is None else self.right
        return self.left.schema[ID].dataType, right.schema[ID].dataType


def table_pair(
    left: DataFrame,
    right: DataFrame | None,
    names: Mapping[str, tuple[str, str]],
    on: Sequence[str] = (),
    where: tuple[str, str] = TABLES,
) -> TablePair:
    """Return the tables of a join, from the names of the id and vector columns of "left" and "right".

    `where` are the names of the tables, for errors.

    Without a right input, or with the same DataFrame and columns, the left one is joined with itself.

    Raises:
        InputError: A column is missing or of a type that cannot be joined.
    """
    keys = tuple(map(key_name, range(len(on))))
    one = select_columns(left, where[0], *names["left"], on)
    if right is None or (right is left and names["left"] == names["right"]):
        return number_keys(TablePair(one, None, keys))
    other = select_columns(right, where[1], *names["right"], on)
    check_same_keys(left.schema, right.schema, on)
    ours, theirs = (field_metadata(df.schema, names[side][1]) for side, df in (("left", left), ("right", right)))
    check_comparable(ours, theirs, where)
    return number_keys(TablePair(one, other, keys))


def number_keys(tables: TablePair) -> TablePair:
    """Replace the values of keys that only Spark compares right by numbers, from 1; null stays null.

    Such keys are floats (for Spark -0.0 is 0.0, and NaN is NaN), strings with a collation, and structs, for instance.
    """
    for key in tables.keys:
        if not _is_plain(tables.left.schema[key].dataType):
            left, right = tables.left, tables.right
            values = left.select(key) if right is None else left.select(key).union(right.select(key))
            number = sf.row_number().over(Window.orderBy(key)).alias(_NUMBER)
            numbers = values.where(sf.col(key).isNotNull()).distinct().select(key, number)
            right = None if right is None else _with_number(right, key, numbers)
            tables = TablePair(_with_number(left, key, numbers), right, tables.keys)
    return tables


def _with_number(rows: DataFrame, key: str, numbers: DataFrame) -> DataFrame:
    columns = [sf.col(_NUMBER).alias(key) if name == key else name for name in rows.columns]
    return rows.join(numbers, key, "left").select(*columns)


def _is_plain(kind: st.DataType) -> bool:
    return isinstance(kind, _PLAIN_TYPES) or kind.simpleString() == "string"


def _can_be_key(kind: st.DataType) -> bool:
    if isinstance(kind, st.StructType):
        return all(_can_be_key(field.dataType) for field in kind)
    return isinstance(kind, _PLAIN_TYPES + _OTHER_TYPES)


def select_columns(
    df: DataFrame,
    where: str,
    id_column: str,
    vector: str,
    on: Sequence[str],
    others: Mapping[str, str] = MappingProxyType({}),
) -> DataFrame:
    """Return the columns that a join needs as ID, VECTOR and keys; and others, by their new names.

    Raises:
        InputError: A column is missing or of a type that cannot be joined, or the rows are a stream.
    """
    check_join_columns(df.schema, where, id_column, vector, on, tuple(others.values()))
    use_this_python(df.sparkSession)
    keys = [quoted_column(name).alias(key_name(place)) for place, name in enumerate(on)]
    more = [quoted_column(name).alias(new) for new, name in others.items()]
    values = vector_values(df.schema, vector).alias(VECTOR)
    return hold(df.select(id_values(df, id_column).alias(ID), values, *keys, *more), where)


def id_values(df: DataFrame, id_column: str) -> Column:
    """Return the ids of a table as joins compare them. A collation could call two ids equal."""
    ids = quoted_column(id_column)
    return ids if _is_plain(df.schema[id_column].dataType) else sf.collate(ids, "UTF8_BINARY")


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
    stored_form(schema, vector, where)
    for name in on:
        kind = schema[name].dataType
        if not _can_be_key(kind):
            raise InputError(f"The key {name!r} of {where} holds {kind.simpleString()}.", "cast it to string.")


def check_same_keys(left: st.StructType, right: st.StructType, on: Sequence[str]) -> None:
    """Raise InputError if a key has different types in both tables."""
    for name in on:
        ours, theirs = (schema[name].dataType.simpleString() for schema in (left, right))
        if ours != theirs:
            raise InputError(
                f"The key {name!r} holds {ours} in the left table and {theirs} in the right one.", "cast one of them."
            )

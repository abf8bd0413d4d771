"""Which columns of a table can be vectors, and their values as arrays."""

from typing import TYPE_CHECKING

from st_spark.tables.columns import quoted_column

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType, StructType


def is_vector_type(kind: "DataType") -> bool:
    """Return whether a column of this type can be vectors: an array, or a vector of pyspark.ml."""
    from pyspark.sql.types import ArrayType

    return isinstance(kind, ArrayType) or _is_ml_vector(kind)


def holds_floats(kind: "DataType") -> bool:
    """Return whether a type is array<float>, array<double>, or a vector of pyspark.ml, which holds doubles."""
    from pyspark.sql.types import ArrayType, DoubleType, FloatType

    return _is_ml_vector(kind) or (isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType | DoubleType))


def vector_values(schema: "StructType", name: str) -> "Column":
    """Return a vector column as an array, with its name and metadata. Vectors of pyspark.ml become array<double>.

    A sparse vector becomes an array of all its values, zeros too.
    """
    if not _is_ml_vector(schema[name].dataType):
        return quoted_column(name)
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as sf

    column = quoted_column(name)
    values = sf.when(column.isNotNull(), vector_to_array(column))  # it fails for null
    return values.alias(name, metadata=schema[name].metadata or {})


def _is_ml_vector(kind: "DataType") -> bool:
    return kind.simpleString() == "vector"  # pyspark.ml has a type of its own

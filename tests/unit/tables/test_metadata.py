"""The metadata of a vector column decides which column is used."""

import pytest
from pyspark.sql.types import ArrayType, FloatType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.tables.metadata import column_metadata, ranges_from_metadata, ranges_to_metadata, vector_column


def embedded(**values: object) -> StructType:
    """The schema of an embedded table with the metadata of its vectors."""
    vectors = ArrayType(FloatType())
    fields = [StructField("id", IntegerType()), StructField("other", ArrayType(IntegerType()))]
    return StructType([*fields, StructField("embedding", vectors, metadata=column_metadata(values))])


def test_the_only_column_with_metadata_is_the_vector_column() -> None:
    assert vector_column(embedded(model="m", dim=2, task=None), "docs") == ("embedding", {"model": "m", "dim": 2})
    assert vector_column(embedded(), "docs", "other") == ("other", {})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (StructType([StructField("id", IntegerType())]), r"docs has 0 embedding columns\. Fix: embed it first"),
        (
            StructType([StructField(name, ArrayType(FloatType())) for name in "ab"]),
            r"docs has 2 embedding columns: a, b\. Fix: name one with --column",
        ),
    ],
)
def test_no_or_several_vector_columns_are_an_error(schema: StructType, message: str) -> None:
    with pytest.raises(InputError, match=message):
        vector_column(schema, "docs")


def test_ranges_survive_as_metadata() -> None:
    ranges = [[-1.0, -2.0], [1.0, 2.0]]
    assert ranges_from_metadata({"ranges": ranges_to_metadata(ranges)}) == ranges
    assert ranges_to_metadata(None) is None
    assert ranges_from_metadata({}) is None

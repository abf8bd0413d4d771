"""The metadata of a vector column decides which column is used, and what may be appended to it."""

import pytest
from pyspark.sql.types import ArrayType, ByteType, DataType, FloatType, IntegerType, StructField, StructType

from st_spark.errors import InputError, TableError
from st_spark.tables.io import check_same_schema
from st_spark.tables.metadata import column_metadata, ranges_from_metadata, ranges_to_metadata, vector_column


def embedded(element: DataType | None = None, **values: object) -> StructType:
    """The schema of an embedded table with the metadata of its vectors."""
    vectors = ArrayType(element or FloatType())
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


def test_vectors_made_in_the_same_way_may_be_appended() -> None:
    check_same_schema(embedded(content="a", prompt="q: "), embedded(content="a", prompt="q: "), "out", "embedding")
    check_same_schema(embedded(), embedded(content="a"), "out", "embedding")  # a table that says nothing


@pytest.mark.parametrize(
    ("table", "new", "message"),
    [
        (
            embedded(content="a", prompt="q: "),
            embedded(content="a"),
            r"Cannot append to out: its vectors use prompt 'q: ', this job uses None\. Fix: use the same model",
        ),
        (
            embedded(content="a", model="m"),
            embedded(content="b", model="n"),
            r"use content 'a', this job uses 'b' \(models 'm' and 'n'\)",
        ),
        (
            embedded(ByteType(), precision="int8"),
            embedded(ByteType(), precision="binary"),
            "use precision 'int8', this job uses 'binary'",
        ),
        (
            embedded(ByteType(), precision="int8"),
            embedded(),
            r"the columns differ: embedding \(array<tinyint> there, array<float> here\)",
        ),
        (
            embedded(),
            StructType([StructField("key", IntegerType()), *embedded().fields[1:]]),
            r"the columns differ: id \(int there, missing here\), key \(missing there, int here\)",
        ),
    ],
)
def test_other_columns_or_vectors_cannot_be_appended(table: StructType, new: StructType, message: str) -> None:
    with pytest.raises(TableError, match=message):
        check_same_schema(table, new, "out", "embedding")

"""The metadata of a vector column decides which column is used."""

from typing import Any

import pytest
from pyspark.sql.types import ArrayType, FloatType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.tables.metadata import (
    check_comparable,
    column_metadata,
    ranges_from_metadata,
    ranges_to_metadata,
    vector_column,
)


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
            r"docs has 2 embedding columns: a, b\. Fix: name one: --column",
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


OURS = {"model": "a/mini", "content": "12ab", "prompt": "query: "}


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"content": "34cd"}, r"left was embedded with a/mini \(content 12ab\), right with a/mini \(content 34cd\)"),
        ({"model": "b", "content": "34cd"}, r"a/mini \(content 12ab\), right with b \(content 34cd\)"),
        ({"content": "x", "precision": "int8"}, r"\(content 12ab\), .* \(content x\)"),
        ({"precision": "int8"}, None),  # it is read as floats
        ({"model": "elsewhere"}, None),  # the same files
        ({"prompt": "passage: ", "task": "document", "max_seq_length": 64}, None),
        ({"precision": "float32"}, None),
        ({"content": None}, None),
    ],
)
def test_vectors_of_two_recipes_are_not_compared(theirs: dict[str, Any], message: str | None) -> None:
    for one, other in ((OURS, {**OURS, **theirs}), ({}, {**OURS, **theirs})):
        if message is None or not one:
            check_comparable(one, other, ("left", "right"))
        else:
            with pytest.raises(InputError, match=message + ".*Fix: use one model"):
                check_comparable(one, other, ("left", "right"))


def test_models_of_one_vector_space_can_be_compared() -> None:
    one, other = ({"model": f"x/clip-ViT-B-32{end}", "content": end or "-"} for end in ("", "-multilingual-v1"))
    check_comparable(one, other)
    with pytest.raises(InputError, match="the left table was embedded with x/clip"):
        check_comparable(one, {**other, "model": "x/other"})

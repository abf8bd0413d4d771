"""Which columns are vectors, and how they are stored, is found in the schema; all others are refused with the fix."""

from typing import Any

import pytest
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import types as st

from st_spark.errors import InputError
from st_spark.join.stored_vectors import check_score, stored_form
from st_spark.model.quantization import Form
from st_spark.tables.metadata import column_metadata, vector_column

RANGES = {"low": [-1.0, -2.0], "high": [1.0, 2.0]}


def schema_of(kind: st.DataType, **made: Any) -> st.StructType:
    return st.StructType([st.StructField("v", kind, metadata=column_metadata(made) if made else None)])


@pytest.mark.parametrize(
    ("kind", "made", "form"),
    [
        (st.ArrayType(st.FloatType()), {}, None),
        (st.ArrayType(st.DoubleType()), {"precision": "float32", "model": "m"}, None),
        (VectorUDT(), {}, None),
        (st.ArrayType(st.ByteType()), {"precision": "int8", "ranges": RANGES}, Form("int8", 2, [[-1, -2], [1, 2]])),
        (st.ArrayType(st.ShortType()), {"precision": "ubinary", "dim": 12}, Form("ubinary", 12)),
    ],
)
def test_the_form_is_in_the_metadata(kind: st.DataType, made: dict[str, Any], form: Form | None) -> None:
    schema = schema_of(kind, **made)
    assert stored_form(schema, "v") == form
    assert vector_column(schema, "docs")[0] == "v"


BYTES = st.ArrayType(st.ByteType())


@pytest.mark.parametrize(
    ("kind", "made", "message"),
    [
        (st.StringType(), {}, "The column 'v' of docs holds string. Fix: name a column of array<float>"),
        (st.ArrayType(st.StringType()), {}, "holds array<string>. Fix: name a column"),
        (BYTES, {}, "holds array<tinyint>, and its metadata names no precision. Fix: cast it to array<float> if"),
        (BYTES, {"precision": "int8"}, "holds int8, and its metadata has no ranges. Fix: embed .* --precision int8"),
        (BYTES, {"precision": "binary"}, "holds binary, and its metadata does not say how many dimensions. Fix"),
        (
            st.ArrayType(st.FloatType()),
            {"precision": "int8", "ranges": RANGES},
            "array<float>, and its metadata says int8",
        ),
    ],
)
def test_columns_that_cannot_be_read_are_refused(kind: st.DataType, made: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stored_form(schema_of(kind, **made), "v", "docs")


def test_the_dimensions_of_bits_can_be_given() -> None:
    assert stored_form(schema_of(BYTES, precision="binary"), "v", dimension=20) == Form("binary", 20)
    known = schema_of(BYTES, precision="binary", dim=18)
    assert stored_form(known, "v", dimension=20) == Form("binary", 18)


def test_bits_have_a_cosine_only() -> None:
    for precision in ("float32", "int8"):
        check_score(precision, "dot", "docs")
    check_score("binary", "cosine", "docs")
    with pytest.raises(InputError, match="The vectors of docs are binary, which dot cannot compare: bits are signs"):
        check_score("binary", "dot", "docs")

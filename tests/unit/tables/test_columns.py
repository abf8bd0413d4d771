"""Columns are checked on a schema alone: they exist and hold texts."""

import pytest
from pyspark.sql.types import BinaryType, LongType, StringType, StructField, StructType, VarcharType

from st_spark.errors import InputError
from st_spark.tables.columns import CORRUPT, check_columns

TABLE = StructType(
    [
        StructField("id", LongType()),
        StructField("text", StringType()),
        StructField("a.title", VarcharType(9)),
        StructField("image", BinaryType()),
        StructField(CORRUPT, StringType()),
    ]
)


def test_existing_columns_of_strings_are_accepted() -> None:
    check_columns(TABLE, "docs", ("text", "a.title"), ("id",))
    check_columns(TABLE, "docs", ("image",), images=True)


@pytest.mark.parametrize(
    ("texts", "others", "message"),
    [
        (("txt",), (), r"docs has no column 'txt'\. Fix: the table has id, text, .*; did you mean 'text'\?"),
        ((), ("key",), r"docs has no column 'key'\. Fix: the table has id, text, a\.title, image\."),
        ((CORRUPT,), (), "docs has no column"),
        (("id",), (), r"In docs the column 'id' holds bigint, not strings\. Fix: name the text column"),
        (("image",), (), r"'image' holds binary, not strings\. Fix: choose a CLIP model if it holds images"),
    ],
)
def test_a_wrong_column_is_an_error_with_a_fix(texts: tuple[str, ...], others: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_columns(TABLE, "docs", texts, others)

"""Wrong columns and options are rejected before any Spark job: a schema is enough."""

from typing import Any

import pytest
from pyspark.sql import types as st

from st_spark.errors import InputError
from st_spark.join.inputs import check_join_columns, check_same_keys
from st_spark.join.near_duplicates import checked_threshold
from st_spark.join.options import Request

COLUMNS = {"id": st.LongType(), "embedding": st.ArrayType(st.FloatType()), "lang": st.StringType()}
SCHEMA = st.StructType([st.StructField(name, kind) for name, kind in COLUMNS.items()])
NAMES: dict[str, Any] = {"id_column": "id", "vector": "embedding", "on": ["lang"]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"id_column": "ID"}, "the left table has no column 'ID'"),
        ({"vector": "id"}, "The column 'id' of the left table holds bigint"),
        ({"on": ["embedding"]}, "The key 'embedding' of the left table holds array<float>"),
        ({"id_column": "embedding"}, "The id column 'embedding' of the left table holds array<float>"),
    ],
)
def test_columns_that_cannot_be_joined_are_rejected(names: dict[str, Any], message: str) -> None:
    check_join_columns(SCHEMA, "the left table", **NAMES)
    with pytest.raises(InputError, match=message):
        check_join_columns(SCHEMA, "the left table", **(NAMES | names))


def test_keys_of_different_types_are_rejected() -> None:
    other = st.StructType([st.StructField("id", st.StringType())])
    with pytest.raises(InputError, match="The key 'id' holds bigint in the left table and string in the right one"):
        check_same_keys(SCHEMA, other, ["id"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": None}, "Neither k nor a threshold"),
        ({"k": 0}, "k is 0"),
        *(({name: value}, f"{name} is {value!r}") for name in ("k", "max_pairs") for value in (-1, 2.5, True, "3")),
        *(({name: value}, f"{name} is {value!r}") for name in ("threshold", "recall") for value in (True, "0.9")),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": float("-inf")}, "threshold is -inf"),
        ({"score": "cos"}, "score='cos' is unknown"),
        ({"method": "fast"}, "method='fast' is unknown"),
        ({"overflow": "none"}, "overflow='none' is unknown"),
        ({"recall": 0.0}, "recall is 0"),
        ({"max_pairs": 0}, "max_pairs is 0"),
    ],
)
def test_options_that_cannot_work_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Request(**options)


def test_near_duplicates_reject_unknown_linkages_and_thresholds_that_no_score_reaches() -> None:
    with pytest.raises(InputError, match=r"linkage='ward' is unknown\. Fix: choose one of components, leader"):
        checked_threshold(Request(None, 0.9), "ward")
    with pytest.raises(InputError, match=r"No euclidean score reaches the threshold 0.9.*minus the distance"):
        checked_threshold(Request(None, 0.9, "euclidean"), "leader")
    assert checked_threshold(Request(None, -0.9, "euclidean"), "leader") == -0.9

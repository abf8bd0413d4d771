"""The rows that near_duplicates() keeps, in an order of columns and against earlier rows, match plain Python."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark import drop_near_duplicates, near_duplicates
from st_spark.errors import InputError
from st_spark.join.earlier_rows import find_new_groups
from st_spark.join.options import Request
from tests.spark.join.test_near_duplicates import all_scores, clustered, expected_groups

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow
THRESHOLD = 0.93
ROWS = 64
SCHEMA = "id bigint, embedding array<float>, day int, _id map<int, int>"


def table(spark: "SparkSession", matrix: Any, days: list[int | None]) -> "DataFrame":
    rows = [(i, vector, day, None) for i, (vector, day) in enumerate(zip(matrix.tolist(), days, strict=True))]
    return spark.createDataFrame([*rows, (None, [1.0] * 12, 0, None), (999, None, 0, None)], SCHEMA).repartition(3)


def test_the_first_row_of_each_group_in_an_order_is_kept(spark: "SparkSession") -> None:
    matrix = clustered(7, ROWS)
    days = [None if i % 9 == 0 else i * 7 % 4 for i in range(ROWS)]
    scores = all_scores(matrix, "cosine")
    groups = expected_groups(scores, THRESHOLD, "components")
    kept: dict[int, int] = {}
    for i in sorted(range(ROWS), key=lambda i: (days[i] is None, -(days[i] or 0), i)):
        kept.setdefault(groups[i], i)
    assert kept != {group: group for group in kept}
    df = table(spark, matrix, days)
    found = near_duplicates(df, THRESHOLD, keep="day DESC").collect()
    assert sorted((row["id"], row["group"], row["representative"], row["score"]) for row in found) == [
        (i, groups[i], kept[groups[i]] == i, scores[i, kept[groups[i]]]) for i in range(ROWS)
    ]
    unique = drop_near_duplicates(df, THRESHOLD, keep="day DESC")
    assert unique.columns == df.columns
    ids = [row["id"] for row in unique.collect()]  # rows that cannot be compared stay
    assert sorted(ids, key=str) == sorted([*kept.values(), None, 999], key=str)


def test_new_rows_repeat_earlier_rows_or_each_other(spark: "SparkSession") -> None:
    matrix, new = clustered(8, ROWS), range(ROWS // 2, ROWS)
    df = table(spark, matrix, [int(i in new) for i in range(ROWS)])
    scores = all_scores(matrix, "cosine")
    known = {i: max(range(ROWS // 2), key=lambda j: (scores[i, j], -j)) for i in new}
    known = {i: j for i, j in known.items() if scores[i, j] >= THRESHOLD}
    fresh = [i for i in new if i not in known]
    assert known
    assert fresh
    among = expected_groups(scores[np.ix_(fresh, fresh)], THRESHOLD, "components")
    expected = known | {i: fresh[among[place]] for place, i in enumerate(fresh)}
    sizes = {group: list(expected.values()).count(group) + (group not in new) for group in expected.values()}
    found = near_duplicates(df, THRESHOLD, where="day = 1", against=df)
    assert sorted(tuple(row) for row in found.collect()) == [
        (i, group, sizes[group], i == group, scores[i, group]) for i, group in sorted(expected.items())
    ]
    earlier = near_duplicates(df, THRESHOLD, where="day = 1", against=df, against_where="day > 1")
    alone = near_duplicates(df.where("day = 1"), THRESHOLD)
    assert sorted(earlier.collect()) == sorted(alone.collect())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "date DESC"}, "the table has no column 'date'. Fix: the table has id, embedding, day, _id"),
        ({"keep": "length(day)"}, r"the table has no column 'length\(day\)'"),
        ({"keep": "_id"}, "The order by _id cannot be used with the table"),
        ({"keep": ""}, "keep is '', where '' is no column"),
        ({"where": "day"}, "where 'day' cannot be used with the table"),
        ({"against_where": "day > 1"}, "against_where is given without against"),
    ],
)
def test_orders_and_conditions_that_cannot_work_are_rejected(
    spark: "SparkSession", options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        near_duplicates(spark.createDataFrame([], SCHEMA), **options)


def test_new_rows_without_a_key_are_counted_as_rows_of_the_output(spark: "SparkSession") -> None:
    schema = "id bigint, lang string, embedding array<float>"
    new = spark.createDataFrame([(1, None, [1.0, 0.0]), (2, "de", [0.0, 1.0]), (3, "de", None)], schema)
    earlier = spark.createDataFrame([(9, "de", [0.0, 1.0])], schema)
    columns = ("id", "embedding")
    found = find_new_groups(new, earlier, Request(None, 0.9), "components", columns=(columns, columns), on=["lang"])
    assert {row["id"]: row["group"] for row in found.groups.collect()} == {1: 1, 2: 9}
    assert (found.stats.rows, found.stats.kept, found.stats.set_aside) == (3, 2, {"null": 1})

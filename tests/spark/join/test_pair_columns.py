"""Columns and conditions of a join: the rows of brute force, and neither reads the vectors of other rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from st_spark import similarity_join
from st_spark.errors import InputError
from tests.spark.join.tables import frame, neighbours, random_vectors, rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


def test_columns_of_both_sides_and_conditions_match_brute_force(spark: "SparkSession", tmp_path: Path) -> None:
    left, right = random_vectors(0, 12, 4), random_vectors(1, 30, 4)
    names, langs = [f"n{i}" for i in range(30)], [None if i % 7 == 0 else ("de", "en")[i % 2] for i in range(30)]
    frame(spark, range(12), left, text=names[:12]).write.parquet(str(tmp_path / "left"))
    frame(spark, range(100, 130), right, text=names, lang=langs).write.parquet(str(tmp_path / "right"))
    one, other = (spark.read.parquet(str(tmp_path / name)) for name in ("left", "right"))
    made = similarity_join(
        one,
        other,
        k=3,
        left_columns=["text"],
        right_columns=["lang", "text"],
        left_where="id % 2 = 0",
        right_where="lang = 'de'",
    )
    assert made.columns == ["left_id", "right_id", "score", "rank", "left_text", "right_lang", "right_text"]
    kept = [i for i in range(30) if langs[i] == "de"]
    expected = neighbours(range(0, 12, 2), left[::2], [100 + i for i in kept], right[kept], 3, "cosine")
    assert rows(made) == {(*row, names[row[0]], "de", names[row[1] - 100]) for row in expected}
    plan = made._jdf.queryExecution().toString()
    assert "EqualTo(lang,de)" in plan
    assert "ReadSchema: struct<id:bigint,text:string,lang:string>" in plan  # the columns come without vectors
    pairs = similarity_join(
        one, k=None, threshold=0.5, left_columns=["text"], right_columns=["text"], left_where="id < 9"
    )
    among = neighbours(range(9), left[:9], range(9), left[:9], 9, "cosine", threshold=0.5, itself=True)
    assert rows(pairs) == {(*row[:3], names[row[0]], names[row[1]]) for row in among if row[0] < row[1]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"right_where": "id > 1"}, "right_where is given without right"),
        ({"left_where": "idd > 1"}, r"left_where 'idd > 1' cannot be used with the left table: \[UNRESOLVED_COL.*`id`"),
        ({"left_where": "id >"}, r"left_where 'id >' .*Syntax error.* Fix: write a condition .* columns are id, embed"),
        ({"left_where": "id + 1"}, r"left_where 'id \+ 1' cannot be used"),
        ({"left_where": ""}, "left_where '' cannot be used"),
        ({"left_columns": ["txt"]}, r"the left table has no column 'txt'.* did you mean 'text'"),
        ({"right_columns": ["text", "TEXT"]}, "no column 'TEXT'"),
        ({"right_columns": ["text", "text"]}, "The column 'text' of the right table is named twice"),
        (
            {"left_columns": ["id"]},
            r"The column 'id' of the left table would become left_id, which the pairs have\. Fix",
        ),
    ],
)
def test_columns_and_conditions_that_cannot_work_are_rejected(
    spark: "SparkSession", options: dict[str, Any], message: str
) -> None:
    df = spark.createDataFrame([], "id bigint, embedding array<float>, text string")
    with pytest.raises(InputError, match=message):
        similarity_join(df, **options)

"""in_ranges(): the condition for the rows of some lists."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.join.list_column import in_ranges
from st_spark.spark.settings import changed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize(("count", "compiled"), [(4, True), (100, False)])
def test_a_condition_of_many_ranges_is_given_to_the_readers_and_kept_out_of_the_compiled_method(
    spark: "SparkSession", tmp_path: Path, count: int, compiled: bool
) -> None:
    rows = spark.range(2_000).selectExpr("cast(id as int) AS list", "array(cast(id as float)) AS embedding")
    rows.write.parquet(str(tmp_path / "index"))
    compiles = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
    with changed(spark, compiles):
        ranges = [(10 * place, 10 * place + place % 2) for place in range(count)]
        found = spark.read.parquet(str(tmp_path / "index")).where(in_ranges(ranges))
        plan = found._jdf.queryExecution().executedPlan().toString()
        assert sorted(row["list"] for row in found.collect()) == [n for a, b in ranges for n in range(a, b + 1)]
    assert bool(re.search(r"\*\(\d+\) Filter", plan)) == compiled, plan
    assert "PushedFilters: [Or(Or(" in plan

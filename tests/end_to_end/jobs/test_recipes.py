"""Every function and job that compares vectors of two tables refuses tables that two models have made."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from st_spark import mine_bitext, similarity_join
from st_spark.errors import InputError
from st_spark.jobs import runner
from st_spark.specs.pair_jobs import JoinJob, MineJob
from st_spark.specs.row_jobs import SearchJob
from st_spark.tables.metadata import column_metadata

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture
def tables(spark: "SparkSession", tmp_path: Path) -> list[str]:
    """Two tables that say that two models have made them."""
    places = []
    for name in ("first", "second"):
        metadata = column_metadata({"model": f"models/{name}", "content": name, "dim": 32})
        df = spark.sql("SELECT 1 AS id, 'a cat on a mat' AS text, array_repeat(1f, 32) AS embedding")
        df.withMetadata("embedding", metadata).write.parquet(str(tmp_path / name))
        places.append(str(tmp_path / name))
    return places


def run_join(spark: "SparkSession", one: str, other: str, **_: str) -> None:
    runner.run(JoinJob(left=one, right=other, output=f"{one}_out"), spark)


def run_mine(spark: "SparkSession", one: str, other: str, **_: str) -> None:
    runner.run(MineJob(source=one, target=other, output=f"{one}_out"), spark)


def run_mine_with_texts(spark: "SparkSession", one: str, other: str, model: str) -> None:
    spark.read.parquet(other).drop("embedding").write.parquet(f"{other}_texts")
    job = MineJob(source=one, target=f"{other}_texts", output=f"{one}_out", text_column="text", model=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("st_spark.jobs.mine.MODEL", model)  # the default is a model of 2 GB
        runner.run(job, spark)


def run_search(spark: "SparkSession", one: str, other: str, model: str) -> None:
    runner.run(SearchJob(query="a cat", table=one, model=model), spark)


def call_join(spark: "SparkSession", one: str, other: str, **_: str) -> None:
    similarity_join(spark.read.parquet(one), spark.read.parquet(other))


def call_mine(spark: "SparkSession", one: str, other: str, **_: str) -> None:
    mine_bitext(spark.read.parquet(one), spark.read.parquet(other))


@pytest.mark.parametrize("compare", [run_join, run_mine, run_mine_with_texts, run_search, call_join, call_mine])
def test_two_models_are_refused_and_both_are_named(
    spark: "SparkSession", tables: list[str], tiny_model: Path, compare: Callable[..., Any]
) -> None:
    theirs = str(tiny_model) if compare in (run_mine_with_texts, run_search) else "models/second"
    with pytest.raises(InputError, match=rf"embedded with models/first \(content first\), .* with {theirs} \(content "):
        compare(spark, *tables, model=str(tiny_model))

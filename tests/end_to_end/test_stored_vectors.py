"""Every job reads vectors of every kind: bytes, bits, doubles, pyspark.ml vectors and lists of a fixed size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as sf

import st_spark
from tests.spark.join.tables import frame, neighbours, random_vectors, rows
from tests.spark.stored_tables import KINDS, floats_of, stored

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# 11 dimensions: the last byte of bits is not full.
ROWS, OTHERS = random_vectors(0, 50, 11), random_vectors(1, 40, 11)
IDS, NAMES = [2**53 + 50 - i for i in range(50)], [f"ö{i}" for i in range(40)]


@pytest.mark.parametrize("kind", ["int8", "binary", "pyspark.ml"])
def test_approximate_joins_find_the_rows_of_the_exact_one(spark: "SparkSession", kind: str) -> None:
    one, other = stored(spark, IDS, ROWS, kind), frame(spark, NAMES, OTHERS)
    expected = neighbours(IDS, floats_of(ROWS, kind), NAMES, OTHERS, 5, "cosine")
    assert rows(st_spark.similarity_join(one, other, k=5, method="ivf", recall=1.0)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_other_jobs_give_what_the_floats_give(spark: "SparkSession", kind: str, tmp_path: Path) -> None:
    """Their own tests compare floats with float64."""
    one, plain = stored(spark, IDS, ROWS, kind, tmp_path), frame(spark, IDS, floats_of(ROWS, kind))
    other, near = frame(spark, NAMES, OTHERS), 0.7
    found = st_spark.near_duplicates(one, near)
    assert_same(found, st_spark.near_duplicates(plain, near))
    assert found.where("size > 1 AND score < 1").count()
    assert_same(st_spark.cluster(one, k=4), st_spark.cluster(plain, k=4))
    communities: dict[str, Any] = {"method": "communities", "threshold": near, "min_community_size": 2}
    assert_same(st_spark.cluster(one, **communities), st_spark.cluster(plain, **communities))
    mined = st_spark.mine_bitext(one, other, threshold=0.8)
    assert_same(mined, st_spark.mine_bitext(plain, other, threshold=0.8))
    assert mined.count()


@pytest.mark.parametrize("kind", ["ubinary", "pyspark.ml"])
def test_pairs_are_scored_and_negatives_found_as_with_floats(spark: "SparkSession", kind: str) -> None:
    tables = stored(spark, IDS, ROWS, kind), frame(spark, IDS, floats_of(ROWS, kind))
    pairs = []
    for df in tables:
        source = df.withColumnRenamed("embedding", "source_embedding")
        other_id = (sf.lit(2 * 2**53 + 51) - sf.col("id")).alias("id")
        target = df.select(other_id, sf.col("embedding").alias("target_embedding"))
        pairs.append(st_spark.score_pairs(source.join(target, "id")).select("id", "score", "cosine"))
    assert_same(*pairs)
    positives = spark.createDataFrame([(IDS[i], IDS[49 - i]) for i in range(5)], "query_id bigint, corpus_id bigint")
    texts = [df.withColumn("text", sf.concat(sf.lit("text "), "id")) for df in tables]
    assert_same(*(st_spark.mine_hard_negatives(df, positives, df) for df in texts))


def assert_same(found: "DataFrame", wanted: "DataFrame") -> None:
    """Assert equal rows, with scores that differ by less than 1e-6: doubles keep more digits than floats."""
    sides = []
    for df in (found, wanted):
        doubles = [name for name, kind in df.dtypes if kind == "double"]
        made = {tuple(row[name] for name in df.columns if name not in doubles): row for row in df.collect()}
        sides.append({key: [row[name] for name in doubles] for key, row in made.items()})
    assert sides[0].keys() == sides[1].keys()
    assert all(values == pytest.approx(sides[1][key], abs=1e-6) for key, values in sides[0].items())

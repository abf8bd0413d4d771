"""Vectors that Python computes are computed once for all the Spark jobs of a join, of groups and of mining."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as sf

from st_spark import encode, mine_bitext, near_duplicates, score_pairs, similarity_join
from st_spark.errors import InputError
from st_spark.jobs import runner
from st_spark.spark import hold
from st_spark.specs.pair_jobs import DedupJob

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

ROWS = 60
WORDS = "the cat sat rain sun moon river table city people".split()


@pytest.fixture
def texts(spark: "SparkSession") -> "Iterator[Accumulator[int]]":
    """Count the texts that go to the model."""
    yield spark.sparkContext.accumulator(0)
    spark.catalog.clearCache()


@pytest.fixture
def lazy(spark: "SparkSession", texts: "Accumulator[int]", tiny_model: Path) -> "Callable[[], DataFrame]":
    """Return a table of ids, texts, and vectors that nobody has computed yet."""

    @sf.udf("string")
    def counted(text: str) -> str:
        texts.add(1)
        return text

    def build() -> "DataFrame":
        words = [f"{WORDS[i % 10]} {WORDS[i // 10]} and some more words" for i in range(ROWS)]
        df = spark.createDataFrame(list(enumerate(words)), "id long, text string").repartition(3)
        df = df.withColumn("text", counted.asNondeterministic()("text"))
        return df.withColumn("embedding", encode("text", model=tiny_model))

    return build


def scored(df: "DataFrame") -> "DataFrame":
    return score_pairs(
        df.withColumn("other", sf.reverse("embedding")), source_vector="embedding", target_vector="other"
    )


def mined(df: "DataFrame", other: "DataFrame") -> "DataFrame":
    return mine_bitext(df, other, threshold=0.0, source_text="text", target_text="text", texts=True)


@pytest.mark.parametrize(
    ("call", "inputs"),
    [
        (lambda df, _: near_duplicates(df, 0.8), 1),
        (lambda df, _: similarity_join(df, k=2), 1),
        (lambda df, other: similarity_join(df, other(), k=2), 2),
        (lambda df, other: mined(df, other()), 2),
        (lambda df, _: scored(df), 1),
    ],
)
def test_each_text_is_encoded_once(
    call: "Callable[[DataFrame, Callable[[], DataFrame]], DataFrame]",
    inputs: int,
    lazy: "Callable[[], DataFrame]",
    texts: "Accumulator[int]",
) -> None:
    call(lazy(), lazy).where("score > 0").collect()
    assert texts.value == inputs * ROWS


def test_a_job_on_a_view_computes_its_vectors_once_and_frees_them(
    spark: "SparkSession", lazy: "Callable[[], DataFrame]", texts: "Accumulator[int]", tmp_path: Path
) -> None:
    lazy().createOrReplaceTempView("lazy_vectors")
    before = set(spark.sparkContext._jsc.getPersistentRDDs())
    runner.run(DedupJob(input="lazy_vectors", output=str(tmp_path / "out"), threshold=0.8), spark)
    assert texts.value == ROWS
    assert set(spark.sparkContext._jsc.getPersistentRDDs()) == before


def test_only_the_newest_inputs_are_held(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "_HELD_INPUTS", 2)
    identity = sf.udf(lambda number: number, "long")
    frames = [hold.hold(spark.range(3).select(identity("id"), sf.lit(number)), "the table") for number in range(4)]
    assert [df.is_cached for df in frames] == [False, False, True, True]
    stored = spark.range(3)
    assert not hold.hold(stored, "the table").is_cached
    spark.catalog.clearCache()


@pytest.mark.parametrize(
    "call",
    [
        near_duplicates,
        similarity_join,
        lambda df: mine_bitext(df, df),
        scored,
    ],
)
def test_a_stream_is_refused(spark: "SparkSession", call: Callable[[Any], Any]) -> None:
    vector = sf.array(sf.lit(1.0)).alias("embedding")
    stream = (
        spark.readStream.format("rate")
        .load()
        .select(sf.col("value").alias("id"), vector, vector.alias("target_embedding"))
    )
    with pytest.raises(InputError, match=r"is a stream.*foreachBatch"):
        call(stream)

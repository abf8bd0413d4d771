"""Search: the nearest rows, exactly, whatever the partitions; rows without a usable vector are counted."""

import datetime
import decimal
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark import search
from st_spark.cli.summaries import SUMMARIES
from st_spark.errors import InputError, ModelError, TableError
from st_spark.jobs import runner
from st_spark.jobs.search import score, score_batch, top_k
from st_spark.jobs.search_table import SearchOptions, plan_search
from st_spark.specs.row_jobs import EmbedJob, SearchJob

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

VECTORS = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
VECTORS[40:50] = VECTORS[7]  # exact ties
QUERY = VECTORS[7].astype(np.float64) + 0.1


def vector_table(spark: "SparkSession", partitions: int) -> "DataFrame":
    data = [(i, f"text {i}", VECTORS[i].tolist()) for i in range(len(VECTORS))]
    data += [(100, "null", None), (101, "nan", [math.nan] * 5)]
    return spark.createDataFrame(data, "id long, text string, embedding array<float>").repartition(partitions)


@given(st.integers(1, 40), st.sampled_from(["cosine", "dot", "euclidean", "manhattan"]), st.integers(0, 100))
def test_scores_equal_the_similarity_function(n: int, function: str, seed: int) -> None:
    from st_spark.model.similarity import similarity

    random = np.random.default_rng(seed)
    vectors, query = random.normal(size=(n, 6)), random.normal(size=6)
    wanted = similarity(vectors, query, function).numpy()[:, 0]
    np.testing.assert_allclose(score(vectors, query, function), wanted, atol=1e-5)


def test_equal_vectors_get_exactly_equal_scores() -> None:
    vectors = np.repeat(np.random.default_rng(1).normal(size=(1, 384)), 101, axis=0)
    for function in ("cosine", "dot", "euclidean", "manhattan"):
        assert len(set(score(vectors, np.ones(384), function))) == 1


def test_a_zero_vector_scores_zero_by_cosine() -> None:
    assert score(np.zeros((1, 3)), np.ones(3), "cosine").tolist() == [0.0]


def test_a_vector_of_another_size_is_left_out_and_counted() -> None:
    vectors = pa.array([[1.0, 2.0], None, [1.0], [3.0, 4.0], [math.inf, 1.0]], pa.list_(pa.float32()))
    counts = dict.fromkeys(("rows", "null", "nan", "dimension"), 0)
    scored = score_batch(pa.record_batch({"id": range(5), "vector": vectors}), np.ones(2), "dot", counts)
    assert scored.to_pydict() == {"id": [0, 3], "score": [3.0, 7.0]}
    assert counts == {"rows": 5, "null": 1, "nan": 1, "dimension": 1}


@pytest.mark.slow
def test_the_nearest_rows_do_not_depend_on_partitions(spark: "SparkSession") -> None:
    cases = (("cosine", 1, 8), ("cosine", 7, 8), ("euclidean", 1, 8), ("euclidean", 7, 8), ("cosine", 3, 1000))
    for function, partitions, k in cases:  # 1000 is more than there are
        scores = score(VECTORS.astype(np.float64), QUERY, function)
        wanted = sorted(range(len(VECTORS)), key=lambda i: (-scores[i], i))[:k]
        hits, rows = top_k(vector_table(spark, partitions), "embedding", QUERY, k, function, "id")
        assert [row["id"] for _, row in hits] == wanted
        assert rows == {"in": 62, "null": 1, "nan": 1, "dimension": 0}


# A column as SQL, and the value that a hit shows; None if it is not shown.
SHOWN: dict[str, tuple[str, Any]] = {
    "a.b": ("'dotted'", "dotted"),
    ".x[0]`y": ("'nasty'", "nasty"),
    "score": ("3", 3),
    "_st_vector": ("true", True),
    "money": ("1.50BD", decimal.Decimal("1.50")),
    "day": ("DATE'2024-02-29'", datetime.date(2024, 2, 29)),
    "clock": ("TIMESTAMP_NTZ'2024-02-29 01:02:03'", datetime.datetime(2024, 2, 29, 1, 2, 3)),
    "variant": ("parse_json('{\"a\": [1, 2]}')", '{"a":[1,2]}'),
    "months": ("INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '1-2' YEAR TO MONTH"),
    "seconds": ("INTERVAL '3 04' DAY TO HOUR", "INTERVAL '3 04' DAY TO HOUR"),
    "calendar": ("make_interval(1, 2, 0, 3)", "1 years 2 months 3 days"),
    "nothing": ("NULL", None),
    "words": ("'Ünï' COLLATE UNICODE_CI", "Ünï"),
    "bytes": ("X'00'", None),
    "list": ("array(1)", None),
    "pair": ("struct(1)", None),
}


@pytest.mark.slow
def test_columns_of_every_type_and_name_are_shown(spark: "SparkSession") -> None:
    def quoted(name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    columns = ", ".join(f"{value} AS {quoted(name)}" for name, (value, _) in SHOWN.items())
    df = spark.sql(f"SELECT {columns}, array(float(id), 1f) AS embedding FROM range(3)")
    hits, _ = top_k(df, "embedding", np.ones(2), 2)
    expected = {name: value for name, (_, value) in SHOWN.items() if name not in ("bytes", "list", "pair")}
    assert [row for _, row in hits] == [expected, expected]


@pytest.fixture
def table(spark: "SparkSession", tiny_model: Path, tmp_path: Path) -> str:
    """A small embedded table of two texts and a null."""
    (tmp_path / "in.csv").write_text("id,text\n1,the cat sat\n2,rain and sun\n3,\n", encoding="utf-8")
    where = str(tmp_path / "table")
    runner.run(
        EmbedJob(
            input=str(tmp_path / "in.csv"), output=where, model=str(tiny_model), text_column="text", id_column="id"
        ),
        spark,
    )
    return where


@pytest.mark.slow
def test_search_uses_the_model_of_the_table(spark: "SparkSession", table: str) -> None:
    result = runner.run(SearchJob(query="rain and sun", table=table), spark)
    assert [hit["row"]["id"] for hit in result["hits"]] == ["2", "1"]
    assert result["hits"][0]["score"] > 0.999
    assert result["rows"] == {"in": 3, "null": 1, "nan": 0, "dimension": 0}


@pytest.mark.slow
def test_a_wrong_table_column_or_model_is_an_error(
    spark: "SparkSession", table: str, tmp_path: Path, write_other: Callable[[], Any]
) -> None:
    with pytest.raises(
        InputError, match=r"table was embedded with .*tiny-bert \(content .*\), the query with .*other \(content .*\)"
    ):
        runner.run(SearchJob(query="rain", table=table, model=write_other()), spark)
    with pytest.raises(InputError, match="has no column 'vector'"):
        runner.run(SearchJob(query="rain", table=table, column="vector"), spark)
    with pytest.raises(InputError, match=r"The column 'text' of .* holds string. Fix: name a column of array<float>"):
        runner.run(SearchJob(query="rain", table=table, column="text"), spark)
    with pytest.raises(ModelError, match="nowhere"):
        runner.run(SearchJob(query="rain", table=table, model=str(tmp_path / "nowhere")), spark)
    plain = str(tmp_path / "plain")
    spark.sql("SELECT array(float(1), float(2)) AS v").write.parquet(plain)
    with pytest.raises(InputError, match="does not say which model"):
        runner.run(SearchJob(query="rain", table=plain), spark)


@pytest.mark.slow
def test_a_query_is_searched_in_the_rows_of_a_condition(spark: "SparkSession", table: str) -> None:
    job = SearchJob(query="rain and sun", table=table, where="id <> '2'", columns="text")
    assert [hit["row"] for hit in runner.run(job, spark)["hits"]] == [{"text": "the cat sat"}]
    with pytest.raises(InputError, match="has no column 'txt'"):
        runner.run(SearchJob(query="rain", table=table, columns="txt"), spark)
    with pytest.raises(InputError, match=r"The column 'embedding' of .* which is not shown"):
        runner.run(SearchJob(query="rain", table=table, columns="embedding"), spark)


@pytest.mark.slow
def test_a_table_of_queries_gives_a_table_of_hits(
    spark: "SparkSession", table: str, tmp_path: Path, write_other: Callable[[], Any]
) -> None:
    questions, out = tmp_path / "questions.csv", str(tmp_path / "out")
    questions.write_text("q,text\n7,the cat\n8,sun and rain\n9,\n", encoding="utf-8")
    job = SearchJob(queries=str(questions), table=table, output=out, k=1, columns="id,text", query_columns="q")
    result = runner.run(job, spark)
    rows = spark.read.parquet(out).sort("query_q").collect()
    assert [(row["query_q"], row["rank"], row["id"], row["text"]) for row in rows] == [
        ("7", 1, "1", "the cat sat"),
        ("8", 1, "2", "rain and sun"),
    ]
    wanted = {"path": str(questions), "rows": 3, "set_aside": {"null": 1}, "answered": 2, "without_hits": 0}
    assert result["queries"] == wanted
    assert result["rows"] == {"in": 3, "searched": 2, "null": 1}
    assert (result["pairs"], result["score"], result["k"]) == (2, "cosine", 1)
    assert "2 hits for 2 of 3 queries" in SUMMARIES["search"](result)
    assert "set aside of" in SUMMARIES["search"](result)
    none = runner.run(replace(job, where="id = 'none'", mode="overwrite"), spark)
    assert (none["pairs"], none["queries"]["without_hits"], none["rows"]) == (0, 2, {"in": 0, "searched": 0})
    assert spark.read.parquet(out).count() == 0
    with pytest.raises(InputError, match=r"1 of 3 rows of .*questions.csv are bad \(1 null\), and --on-error fail"):
        runner.run(replace(job, on_error="fail", mode="overwrite"), spark)
    with pytest.raises(InputError, match=r"questions.csv has no column 'question'. Fix: the table has q, text"):
        runner.run(replace(job, text_column="question", mode="overwrite"), spark)
    with pytest.raises(InputError, match=r"table was embedded with .*, .*questions.csv with .*other \(content"):
        runner.run(replace(job, model=write_other(), mode="overwrite"), spark)
    with pytest.raises(TableError, match=r"Cannot add to .*score.* k 1; this job uses k 2"):
        runner.run(replace(job, k=2, mode="append"), spark)


@pytest.mark.slow
def test_a_condition_goes_to_the_files_before_vectors_are_read(spark: "SparkSession", tmp_path: Path) -> None:
    path = str(tmp_path / "years")
    df = spark.sql("SELECT id, int(id % 10) AS year, 'de' AS lang, array(float(id), 1f) AS v FROM range(1, 1000)")
    df.sort("year").write.partitionBy("lang").parquet(path)
    queries = spark.sql("SELECT 'q' AS name, array(1f, 1f) AS v")
    options = SearchOptions(k=3, where="lang = 'de' AND year > 8", columns=["id"])
    planned = plan_search(queries, spark.read.parquet(path), options)
    plan = planned.scan()._jdf.queryExecution().executedPlan().toString()
    scans = [line for line in plan.splitlines() if "FileScan parquet" in line]
    assert len(scans) == 1  # the table is read once, however many partitions it has
    assert "PushedFilters: [IsNotNull(year), GreaterThan(year,8)]" in scans[0]
    assert "PartitionFilters: [isnotnull(lang" in scans[0]
    assert [row["id"] for row in planned.answer(planned.scan()).collect()] == [9, 19, 29]


@pytest.mark.slow
def test_an_image_finds_images_and_a_text_finds_them_too(
    spark: "SparkSession", tiny_clip: Path, digits: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "images")
    files = str(digits / "[0-9]*.png")
    job = EmbedJob(
        input=files,
        input_format="binaryFile",
        output=out,
        model=str(tiny_clip),
        text_column="content",
        id_column="path",
    )
    runner.run(job, spark)
    images = spark.read.format("binaryFile").load(files).orderBy("path").limit(3)
    table = spark.read.parquet(out)
    found = search(images, table, 1, text_column="content", columns=["path"], query_columns=["path"])
    assert [row["query_path"] == row["path"] for row in found.collect()] == [True] * 3
    assert search("a digit", table, 2, columns=["path"]).count() == 2


@pytest.fixture
def write_other(tmp_path: Path) -> Callable[[], str]:
    """Write a model of 16 dimensions."""
    from tests.support.checkpoints import write_bert

    return lambda: str(write_bert(tmp_path / "other", dim=16))

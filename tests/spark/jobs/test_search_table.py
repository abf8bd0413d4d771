"""search(): the k nearest rows of each query, as comparing every pair in float64 gives them, with filters and ties."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.sql import functions as sf

from st_spark import encode, search
from st_spark.errors import InputError
from st_spark.jobs.search_table import SearchOptions, plan_search
from st_spark.join.query_scan import count_outcomes
from st_spark.model.quantization import dequantise, quantise, ranges_of
from st_spark.tables.metadata import column_metadata, ranges_to_metadata
from tests.spark.join.tables import random_vectors, scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = random_vectors(0, 90, 4)
LANGUAGES = [("de", "en", "fr")[place % 3] for place in range(90)]
IDS = [int(place) for place in np.random.default_rng(1).permutation(90)]
QUERIES = random_vectors(1, 7, 4)


@pytest.fixture(scope="module")
def table(spark: "SparkSession") -> "DataFrame":
    """90 rows with many equal vectors, and a row for each reason to be left out."""
    rows: list[tuple[int | None, str, str, Any]] = [
        (number, f"text {number}", language, vector.tolist())
        for number, language, vector in zip(IDS, LANGUAGES, ROWS, strict=True)
    ]
    nan = float("nan")
    bad = [None, [1.0], [nan, 1.0, 1.0, 1.0], [0.0] * 4]
    rows += [(100 + place, "bad", "de", vector) for place, vector in enumerate(bad)]
    rows += [(None, "bad", "de", [1.0] * 4)]
    schema = "id bigint, text string, lang string, embedding array<float>"
    return spark.createDataFrame(rows, schema).repartition(3)


@pytest.fixture(scope="module")
def queries(spark: "SparkSession") -> "DataFrame":
    """Seven queries, and one without a vector."""
    rows = [(f"q{place}", vector.tolist()) for place, vector in enumerate(QUERIES)]
    return spark.createDataFrame([*rows, ("none", None)], "name string, vector array<double>")


def nearest(vectors: Any, kept: Any, k: int, score: str = "cosine") -> list[tuple[str, int, float, int]]:
    """Return query, rank, score and id of the nearest rows, by plain float64 arithmetic."""
    all_scores, found = scores(QUERIES, vectors, score), []
    for query, row in enumerate(all_scores):
        best = sorted((-row[place], IDS[place]) for place in range(90) if kept(place))[:k]
        found += [(f"q{query}", rank, -value, number) for rank, (value, number) in enumerate(best, 1)]
    return found


def test_answer_equals_float64_with_filters_ties_and_few_rows(
    spark: "SparkSession", table: "DataFrame", queries: "DataFrame"
) -> None:
    planned = plan_search(queries, table, SearchOptions(k=40, where="lang = 'de' OR id >= 80", columns=["id", "lang"]))
    answer = planned.answer(planned.scan())
    assert answer.columns == ["query_name", "rank", "score", "id", "lang"]
    rows = [tuple(row) for row in answer.collect()]
    expected = nearest(ROWS, lambda place: LANGUAGES[place] == "de" or IDS[place] >= 80, 40)
    assert len(expected) < 7 * 40  # fewer than k rows meet the condition
    assert [(row[0], row[1], row[3]) for row in rows] == [(row[0], row[1], row[3]) for row in expected]
    np.testing.assert_allclose([row[2] for row in rows], [row[2] for row in expected], rtol=1e-12)
    assert {row[4] for row in rows} == {"de", "en", "fr"}
    kept = len(expected) // 7
    wanted = {"searched": kept, "null id": 1, "null": 1, "dimension": 1, "not finite": 1, "zero": 1}
    assert count_outcomes(planned.scan()) == wanted
    assert (planned.queries.total, planned.queries.set_aside) == (8, {"null": 1})
    none = search(queries, table, 3, where="lang = 'it'").collect()
    assert none == []


def test_quantised_tables_are_compared_by_their_stored_values(
    spark: "SparkSession", queries: "DataFrame", table: "DataFrame"
) -> None:
    ranges = ranges_of(ROWS)
    for precision, kind, score in (("int8", "tinyint", "euclidean"), ("ubinary", "smallint", None)):
        limits = ranges if precision == "int8" else None
        codes = quantise(ROWS, precision, limits)
        made = {"precision": precision, "ranges": ranges_to_metadata(None if limits is None else limits.tolist())}
        rows = [(number, code.tolist()) for number, code in zip(IDS, codes.astype(int), strict=True)]
        df = spark.createDataFrame(rows, f"id bigint, v array<{kind}>").withMetadata("v", column_metadata(made))
        answer = search(queries, df, 5, score=score).collect()
        values = dequantise(codes, precision, 4, limits)
        expected = nearest(values, lambda _: True, 5, score or "cosine")
        assert [(row["query_name"], row["rank"], row["id"]) for row in answer] == [
            (row[0], row[1], row[3]) for row in expected
        ]


def test_texts_are_encoded_as_the_model_of_the_table_wants(spark: "SparkSession", tiny_model: Path) -> None:
    from st_spark.model.checkpoint import checkpoint
    from st_spark.model.encoder import SentenceTransformer

    texts = ["the cat sat", "rain and sun", "a dog ran home"]
    content = checkpoint.fingerprint(tiny_model)
    made = {"model": str(tiny_model), "content": content, "truncate_dim": 8, "normalize_embeddings": True}
    docs = spark.createDataFrame(list(enumerate(texts)), "key int, text string")
    docs = docs.withColumn("v", encode("text", model=tiny_model, truncate_dim=8, normalize_embeddings=True))
    docs = docs.withMetadata("v", column_metadata({**made, "id_column": "key"})).persist()
    asked = spark.createDataFrame([("b", "sun and rain"), ("a", "the cat")], "id string, text string")
    answer = search(asked, docs, 1)
    assert answer.columns == ["query_id", "query_text", "rank", "score", "key", "text"]
    model = SentenceTransformer(str(tiny_model))
    vectors = model.encode_query(["sun and rain", "the cat"], truncate_dim=8, normalize_embeddings=True)
    wanted = scores(vectors, np.array([row["v"] for row in docs.sort("key").collect()], np.float32), "cosine")
    rows = answer.collect()
    assert [(row["query_id"], row["key"]) for row in rows] == [("b", wanted[0].argmax()), ("a", wanted[1].argmax())]
    np.testing.assert_allclose([row["score"] for row in rows], wanted.max(axis=1), atol=2e-3)
    (listed,) = search("the cat", docs, 1, columns="text").collect()
    assert listed.asDict().keys() == {"query_id", "query_text", "rank", "score", "text"}
    assert listed["text"] == rows[1]["text"]


def test_wrong_options_are_errors_before_the_work(
    spark: "SparkSession", table: "DataFrame", queries: "DataFrame", tiny_model: Path
) -> None:
    rank = table.withColumnRenamed("text", "rank")
    marked = table.withMetadata("embedding", column_metadata({"model": "a", "content": "1"}))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("k is 0", {"k": 0}),
        ("has no column 'langg'. Fix: .*did you mean 'lang'", {"columns": ["id", "langg"]}),
        ("where \"langg = 'de'\" .*`langg` cannot be resolved. Did you mean .*`lang`", {"where": "langg = 'de'"}),
        ("where 'year >' cannot be used with the table: .*PARSE_SYNTAX_ERROR", {"where": "year >"}),
        ("where '1 \\+ 1' cannot be used with the table", {"where": "1 + 1"}),
        ("the table has no column 'idd'", {"id_column": "idd"}),
        ("The id column 'embedding' of the table holds", {"id_column": "embedding"}),
        ("the queries has no column 'question'", {"text_column": "question"}),
        ("the queries has no column 'text' and no vectors", {"queries": queries.drop("vector")}),
        ("Both a text column .* and a vector column", {"text_column": "name", "query_column": "vector"}),
        ("the queries has no column 'nam'", {"query_columns": ["nam"]}),
        ("the table does not say which model made its vectors", {"text_column": "name"}),
        ("the table was embedded with a .*, the queries with", {"table": marked, "queries": "x", "model": tiny_model}),
        ("A model is given, and the queries has vectors", {"model": tiny_model}),
        ("score='cos' is unknown", {"score": "cos"}),
        ("has a column 'rank', and the answer has another", {"table": rank}),
        ("but vectors of the queries have 2", {"queries": spark.sql("SELECT array(1d, 2d) AS v")}),
    ]
    for message, change in cases:
        with pytest.raises(InputError, match=message):
            search(**{"queries": queries, "table": table, **change})


def test_duplicate_ids_among_the_hits_are_an_error(table: "DataFrame", queries: "DataFrame") -> None:
    twice = table.withColumn("id", sf.col("id") % 30)
    with pytest.raises(Exception, match=r"Duplicate ids in the table: \d+. Fix: make the ids unique"):
        search(queries, twice, 20).collect()
    assert search(queries, twice, 20, columns=["id"]).count() == 140

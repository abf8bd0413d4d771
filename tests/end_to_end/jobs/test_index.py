"""Indexes: the recall that they promise, the rows that a search does not read, appends, changed sources, and errors."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as sf

from st_spark import build_index, describe, search, similarity_join
from st_spark.cli.summaries import SUMMARIES
from st_spark.errors import InputError, StSparkError, TableError
from st_spark.jobs import runner, search_table
from st_spark.jobs.search_table import SearchOptions, plan_search
from st_spark.join.query_scan import count_outcomes
from st_spark.join.vector_index import VectorIndex, find_index
from st_spark.specs.pair_jobs import JoinJob
from st_spark.specs.row_jobs import IndexJob, SearchJob
from st_spark.tables.metadata import METADATA_KEY
from tests.spark.join.tables import scores
from tests.spark.join.test_ivf import clustered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

ROWS, WIDTH = 4000, 16
VECTORS, QUERIES = clustered(ROWS, 0, d=WIDTH, noise=1.2), clustered(300, 1, d=WIDTH, noise=1.2)


def write(path: Path, vectors: Any, first: int = 0) -> str:
    """Add a file of rows to a table: id, text, year and embedding."""
    path.mkdir(exist_ok=True)
    ids = list(range(first, first + len(vectors)))
    column = pa.array([None if each is None else list(each) for each in vectors], pa.list_(pa.float32()))
    years = [2000 + number % 20 for number in ids]
    rows = {"id": ids, "text": [f"text {number}" for number in ids], "year": years, "embedding": column}
    pq.write_table(pa.table(rows), path / f"{first}.parquet")
    return str(path)


@dataclass(frozen=True)
class Built:
    """A table, its index, and the result of the job."""

    table: str
    index: str
    result: dict[str, Any]


@pytest.fixture(scope="module")
def built(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An index of 4,000 rows, and of three that it leaves out."""
    folder = tmp_path_factory.mktemp("index")
    table = write(folder / "docs", VECTORS)
    write(folder / "docs", [None, [1.0], [0.0] * WIDTH], ROWS)
    index = str(folder / "docs_index")
    return Built(table, index, runner.run(IndexJob(table=table, output=index, recall=0.9), spark))


@pytest.fixture(scope="module")
def queries(spark: "SparkSession") -> "DataFrame":
    return spark.createDataFrame([(i, each.tolist()) for i, each in enumerate(QUERIES)], "q int, v array<float>")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of st_spark. Jobs that ran before may have set another level."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def true_neighbours(score: str = "cosine", kept: Any = None, k: int = 10) -> list[set[int]]:
    """Return the ids of the k nearest rows of each query, by float64 arithmetic."""
    values = scores(QUERIES, VECTORS, score)
    if kept is not None:
        values[:, ~kept] = -np.inf
    return [set(np.argsort(-row, kind="stable")[:k].tolist()) for row in values]


def found_ids(answer: "DataFrame") -> list[set[int]]:
    found: dict[int, set[int]] = {}
    for row in answer.collect():
        found.setdefault(row["query_q"], set()).add(row["id"])
    return [found[number] for number in sorted(found)]


def share(found: Sequence[set[int]], wanted: Sequence[set[int]]) -> float:
    return sum(len(one & other) for one, other in zip(found, wanted, strict=True)) / sum(map(len, wanted))


def opened(spark: "SparkSession", where: str) -> VectorIndex:
    found = find_index(spark.read.parquet(where), where, "parquet")
    assert found is not None
    return found


def rows_read(df: "DataFrame") -> int:
    """Return how many rows Spark's reader of files gives to the plan."""
    df.collect()
    leaf = df._jdf.queryExecution().executedPlan().collectLeaves().head()
    return int(leaf.metrics().apply("numOutputRows").value())


def test_an_index_holds_the_rows_sorted_by_list_and_says_what_it_is(spark: "SparkSession", built: Built) -> None:
    result = built.result
    assert result["rows"] == {"in": ROWS + 3, "out": ROWS, "indexed": ROWS}
    assert result["set_aside"] == {"dimension": 1, "null": 1, "zero": 1}
    assert 10 < result["lists"] <= ROWS // 39
    assert 1 <= result["nprobe"] < result["lists"]
    assert result["recall_low"] <= result["recall"] <= result["recall_high"]
    assert result["recall"] >= 0.88
    table = pq.read_table(built.index)
    assert table.column_names == ["id", "text", "year", "embedding", "list"]
    lists = table["list"].to_numpy()
    assert (np.diff(lists) >= 0).all()
    index = opened(spark, built.index)
    assert (np.bincount(lists, minlength=len(index.quantizer)) == index.rows).all()
    assert (index.quantizer.assign(np.array(table["embedding"].to_pylist(), np.float32)) == lists).all()
    centroids = pq.read_table(f"{built.index}__centroids")
    assert centroids.column_names == ["list", "centroid", "rows"]
    summary = SUMMARIES["index"](result)
    assert f"4,000 rows in {result['seconds']['total']:.1f} s: {result['lists']} lists, cosine" in summary
    assert "set aside: 1 dimension, 1 null, 1 zero" in summary


@pytest.mark.parametrize("own", [True, False])  # whether a query is compared with the rows of its lists alone
def test_the_recall_is_at_least_the_promised_one(
    spark: "SparkSession", built: Built, queries: "DataFrame", own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_table, "_FEW_QUERIES", 0 if own else 1000)
    monkeypatch.setattr(search_table, "_OWN_SHARE", 1.0)
    answer = search(queries, built.index, 10, columns=["id"])
    measured = share(found_ids(answer), true_neighbours())
    assert measured >= built.result["recall_low"] - 0.02
    assert (measured <= built.result["recall_high"] + 0.02) is own  # all that 300 queries read is most of the table
    true_scores = scores(QUERIES, VECTORS, "cosine")
    assert all(row["score"] == pytest.approx(true_scores[row["query_q"], row["id"]]) for row in answer.collect())
    everything = search(queries, built.index, 10, columns=["id"], nprobe="all")
    assert share(found_ids(everything), true_neighbours()) == 1.0


def test_more_lists_find_more_and_a_frame_is_recognised(
    spark: "SparkSession", built: Built, queries: "DataFrame", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_table, "_FEW_QUERIES", 0)
    monkeypatch.setattr(search_table, "_OWN_SHARE", 1.0)
    frame = spark.read.parquet(built.index)
    few, more = (
        share(found_ids(search(queries, frame, 10, columns=["id"], nprobe=nprobe)), true_neighbours())
        for nprobe in (1, built.result["nprobe"])
    )
    assert few < more < 1.0
    assert "list" not in search(queries, frame, 1).columns


def test_lists_that_are_not_probed_are_not_read(spark: "SparkSession", built: Built, queries: "DataFrame") -> None:
    frame, index = spark.read.parquet(built.index), opened(spark, built.index)
    options = SearchOptions(k=3, nprobe=2, columns=["id"])
    planned = plan_search(queries.limit(1), frame, options, index=index)
    assert planned.probing is not None
    lists = planned.probing.lists[0]
    plan = planned.scan()._jdf.queryExecution().executedPlan().toString()
    scan = next(line for line in plan.splitlines() if "FileScan parquet" in line)
    assert "PushedFilters: [" in scan
    assert f"list,{lists[0]})" in scan.partition("PushedFilters: ")[2]
    inside = int(index.rows[lists].sum())
    assert count_outcomes(planned.scan())["searched"] == inside
    assert inside <= rows_read(planned.scan()) <= inside + 2 * 2 * 256 < ROWS / 2
    read = planned.probing.facts()
    assert (read["lists"], read["nprobe"], read["recall"]) == (len(index.quantizer), 2, None)
    assert (read["lists_read"], read["rows_read"]) == (2, inside)


def test_a_condition_holds_with_the_index(spark: "SparkSession", built: Built, queries: "DataFrame") -> None:
    kept = np.arange(ROWS) % 20 == 7
    answer = search(queries, built.index, 5, where="year = 2007", columns=["id", "year"], nprobe="all")
    assert share(found_ids(answer), true_neighbours(kept=kept, k=5)) == 1.0
    near = search(queries.where("q = 1"), built.index, 50, where="year = 2007", columns=["id"], nprobe=2)
    (found,) = found_ids(near)
    assert all(number % 20 == 7 for number in found)
    assert 0 < len(found) < 50 < kept.sum()  # the lists of a query can hold fewer rows that meet a condition
    assert search(queries, built.index, 5, where="year = 1999").count() == 0


def test_a_search_job_says_what_it_has_read(
    spark: "SparkSession", built: Built, queries: "DataFrame", tmp_path: Path
) -> None:
    queries.write.parquet(str(tmp_path / "queries"))
    job = SearchJob(queries=str(tmp_path / "queries"), table=built.index, output=str(tmp_path / "out"), k=3, nprobe="2")
    result = runner.run(job, spark)
    index = result["index"]
    assert result["rows"]["searched"] == index["rows_read"] <= ROWS
    assert (index["nprobe"], index["lists"], index["recall"]) == (2, built.result["lists"], None)
    assert f"{index['lists_read']} of {index['lists']} lists read, 2 for each query" in SUMMARIES["search"](result)
    assert "list" not in spark.read.parquet(str(tmp_path / "out")).columns


@pytest.mark.parametrize(("nprobe", "one_task"), [(1, True), ("all", False)])
def test_few_rows_are_searched_and_their_best_ones_found_in_one_task(
    spark: "SparkSession", built: Built, queries: "DataFrame", nprobe: Any, one_task: bool
) -> None:
    answer = search(queries, built.index, 3, columns=["id"], nprobe=nprobe)
    plan = answer._jdf.queryExecution().executedPlan().toString()
    assert ("hashpartitioning(left_id" not in plan) == one_task, plan


def test_the_last_index_is_kept_in_memory(spark: "SparkSession", built: Built) -> None:
    assert opened(spark, built.index) is opened(spark, built.index)


def test_an_append_adds_new_rows_to_the_lists(
    spark: "SparkSession", tmp_path: Path, queries: "DataFrame", caplog: pytest.LogCaptureFixture
) -> None:
    table, index = write(tmp_path / "docs", VECTORS[:3000]), str(tmp_path / "index")
    build_index(table, index, recall=0.9)
    assert describe(spark, index)["index"]["stale"] is False
    write(tmp_path / "docs", VECTORS[3000:], 3000)
    with caplog.at_level(logging.WARNING, "st_spark"):
        search(queries, index, 1)
    assert len(warnings(caplog)) == 1
    assert f"docs has changed since the index {index} was made of it (1 files," in caplog.text
    assert "Fix: st-spark index --table" in caplog.text
    about = describe(spark, index)["index"]
    assert about["stale"] is True
    assert "stale: the table has 2 files" in SUMMARIES["describe"](describe(spark, index))
    result = build_index(table, index, mode="append")
    assert result["rows"] == {"in": ROWS, "out": 1000, "indexed": ROWS}
    assert (result["recall_asked"], result["rebuild"]) == (0.9, False)
    lists = spark.read.parquet(index).select("id", "list", "embedding").toPandas()
    assert sorted(lists["id"]) == list(range(ROWS))
    assert opened(spark, index).rows.sum() == ROWS
    assigned = opened(spark, index).quantizer.assign(np.stack(lists["embedding"].tolist()).astype(np.float32))
    assert (assigned == lists["list"].to_numpy()).all()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "st_spark"):
        found = found_ids(search(queries, index, 10, columns=["id"]))
    assert warnings(caplog) == []
    assert share(found, true_neighbours()) >= result["recall_low"] - 0.02
    again = build_index(table, index, mode="append")
    assert again["rows"] == {"in": ROWS, "out": 0, "indexed": ROWS}


def test_an_append_of_other_rows_raises_nprobe_and_says_rebuild(
    spark: "SparkSession", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table, index = (
        write(tmp_path / "docs", clustered(1500, 0, clusters=12, d=WIDTH, noise=0.1)),
        str(tmp_path / "index"),
    )
    before = build_index(table, index, recall=0.95)
    write(tmp_path / "docs", np.random.default_rng(5).normal(size=(1500, WIDTH)).astype(np.float32), 1500)
    with caplog.at_level(logging.WARNING, "st_spark"):
        after = build_index(table, index, mode="append")
    assert after["nprobe"] > before["nprobe"]
    assert after["recall"] >= 0.93
    assert after["rebuild"] is (after["nprobe"] > after["lists"] / 4) is True
    assert f"now probes {after['nprobe']} of {after['lists']} lists, not {before['nprobe']}" in caplog.text
    assert "Fix: build the index anew: --mode overwrite" in caplog.text
    assert "build the index anew" in SUMMARIES["index"](after | {"seconds": {"total": 1.0}})


def test_an_append_does_not_follow_rows_that_have_changed_or_gone(spark: "SparkSession", tmp_path: Path) -> None:
    table, index = write(tmp_path / "docs", VECTORS[:500]), str(tmp_path / "index")
    write(tmp_path / "docs", VECTORS[500:600], 500)
    build_index(table, index)
    write(tmp_path / "docs", VECTORS[600:690], 500)
    message = (
        r"90 rows of the index .*index have another vector in .*docs now, and 10 are not there any more.*--mode over"
    )
    with pytest.raises(InputError, match=message):
        build_index(table, index, mode="append")
    assert build_index(table, index, mode="overwrite")["rows"]["indexed"] == 590
    shutil.rmtree(table)
    assert describe(spark, index)["index"]["stale"] is None
    assert search(spark.sql(f"SELECT 1 AS q, array_repeat(1f, {WIDTH}) AS v"), index, 1).count() == 1


@pytest.mark.parametrize("score", ["dot", "euclidean"])
def test_other_scores_have_lists_of_their_own(
    spark: "SparkSession", tmp_path: Path, queries: "DataFrame", score: str
) -> None:
    table, index = write(tmp_path / "docs", VECTORS), str(tmp_path / "index")
    result = build_index(table, index, recall=0.9, score=score, lists=40)
    assert result["lists"] == 40
    found = found_ids(search(queries, index, 10, columns=["id"], score=score))
    assert share(found, true_neighbours(score)) >= result["recall_low"] - 0.03
    with pytest.raises(InputError, match=rf"were made for {score}, and the score asked for is cosine.*nprobe all"):
        search(queries, index, 10)
    assert search(queries, index, 1, nprobe="all").count() == len(QUERIES)


def test_small_tables_have_an_index_too(spark: "SparkSession", tmp_path: Path, queries: "DataFrame") -> None:
    for rows in (1, 2, 5):
        table, index = write(tmp_path / f"docs{rows}", VECTORS[:rows]), str(tmp_path / f"index{rows}")
        assert build_index(table, index)["rows"]["indexed"] == rows
        assert search(queries, index, 10, columns=["id"]).count() == rows * len(QUERIES)


def test_what_cannot_work_is_an_error_with_a_fix(
    spark: "SparkSession", built: Built, queries: "DataFrame", tmp_path: Path
) -> None:
    table = write(tmp_path / "docs", VECTORS[:50])
    with_list = str(tmp_path / "with_list")
    spark.read.parquet(table).selectExpr("*", "id AS List").write.parquet(with_list)
    twice, none, out = str(tmp_path / "twice"), str(tmp_path / "none"), str(tmp_path / "out")
    spark.read.parquet(table).union(spark.read.parquet(table)).write.parquet(twice)
    spark.read.parquet(table).selectExpr("id", "array_repeat(0f, 4) AS embedding").write.parquet(none)
    cases: list[tuple[str, dict[str, Any]]] = [
        (r"has a column 'List' already.*Fix: rename it: an index adds this column", {"table": with_list}),
        (r"docs has no column 'key'", {"table": table, "id_column": "key"}),
        (r"uplicate ids", {"table": twice}),
        (r"none has no row with an ID and a valid vector. Fix: embed some texts", {"table": none}),
        (r"The output .*docs_index exists", {"table": table, "output": built.index}),
        (r"another is no index. Fix: name another --output", {"table": table, "output": f"{tmp_path}/another"}),
        (
            r"3 of 4,003 rows of .*docs are bad .* --on-error fail allows none",
            {"table": built.table, "on_error": "fail"},
        ),
    ]
    spark.read.parquet(table).write.parquet(str(tmp_path / "another"))
    for message, options in cases:
        mode = "append" if "another" in options.get("output", "") else "error"
        with pytest.raises(StSparkError, match=message):
            runner.run(IndexJob(**{"output": out, "mode": mode, **options}), spark)
    assert not Path(out).exists()
    refused: list[tuple[str, dict[str, Any]]] = [
        ("nprobe is 3, and the table is no index. Fix: build one", {"table": spark.read.parquet(table), "nprobe": 3}),
        ("nprobe is 0. Fix: give a number of lists, 1 or more, or 'all'", {"nprobe": 0}),
        ("nprobe is 'most'", {"nprobe": "most"}),
        (
            f"have {WIDTH} values, and those to compare with them have 2",
            {"queries": spark.sql("SELECT array(1f, 2f) AS v")},
        ),
    ]
    for message, given in refused:
        with pytest.raises(InputError, match=message):
            search(**{"queries": queries, "table": built.index, **given})


def test_an_index_without_its_centroids_is_an_error(spark: "SparkSession", built: Built, tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    shutil.copytree(built.index, index)
    one = spark.sql(f"SELECT array_repeat(1f, {WIDTH}) AS v")
    with pytest.raises(TableError, match=r"The index .*index has no centroids: .*Fix: build it again: st-spark index"):
        search(one, index, 1)
    assert "has no centroids" in describe(spark, index)["warnings"][0]
    table = write(tmp_path / "docs", VECTORS[:99])
    build_index(table, str(tmp_path / "other"))
    shutil.copytree(tmp_path / "other__centroids", f"{index}__centroids")
    with pytest.raises(TableError, match=r"index__centroids does not belong to .*index"):
        search(one, index, 1)


def test_a_join_uses_the_lists_of_an_index(
    spark: "SparkSession", built: Built, queries: "DataFrame", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = queries.selectExpr("q AS id", "cast(v AS array<float>) AS embedding")
    with caplog.at_level(logging.INFO, "st_spark.join"):
        pairs = similarity_join(left, spark.read.parquet(built.index), k=10, method="ivf", recall=0.9)
    assert f"Using the lists of the index file:{built.index}" in caplog.messages
    about = pairs.schema["score"].metadata[METADATA_KEY]
    assert about["cells"] == built.result["lists"]
    found: dict[int, set[int]] = {}
    for row in pairs.collect():
        found.setdefault(row["left_id"], set()).add(row["right_id"])
    assert share([found[number] for number in sorted(found)], true_neighbours()) >= about["recall_low"] - 0.03
    left.write.parquet(str(tmp_path / "left"))
    job = JoinJob(
        left=str(tmp_path / "left"), right=built.index, output=str(tmp_path / "out"), k=3, method="ivf", recall=0.9
    )
    assert runner.run(job, spark)["cells"] == built.result["lists"]
    caplog.clear()
    euclidean = similarity_join(left, spark.read.parquet(built.index), k=1, method="ivf", score="euclidean")
    assert not [text for text in caplog.messages if text.startswith("Using the lists")]  # its lists are others
    assert euclidean.count() == len(QUERIES)


def test_vectors_of_pyspark_ml_have_an_index(spark: "SparkSession", tmp_path: Path) -> None:
    """Built, searched and appended to as arrays of floats are."""
    from pyspark.ml.functions import array_to_vector

    table, index = str(tmp_path / "ml"), str(tmp_path / "ml_index")
    rows = spark.read.parquet(write(tmp_path / "docs", VECTORS[:600]))
    rows = rows.withColumn("embedding", array_to_vector(sf.col("embedding")))
    rows.where("id < 500").write.parquet(table)
    assert build_index(table, index, recall=0.9)["rows"]["indexed"] == 500
    found = search(spark.sql(f"SELECT array_repeat(1f, {WIDTH}) AS v"), index, 3, nprobe="all").collect()
    exact = search(spark.sql(f"SELECT array_repeat(1f, {WIDTH}) AS v"), table, 3).collect()
    assert [row["id"] for row in found] == [row["id"] for row in exact]
    rows.where("id >= 500").write.mode("append").parquet(table)
    assert build_index(table, index, mode="append")["rows"]["indexed"] == 600

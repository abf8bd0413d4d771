"""Outputs in Delta, on a Spark with Delta's jars. test_delta.py runs this file in a process of its own."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from st_spark import build_index, describe, search
from st_spark.errors import InputError, TableError
from st_spark.jobs import runner
from st_spark.jobs.search_table import SearchOptions, plan_search
from st_spark.join.vector_index import find_index
from st_spark.model.encoder import SentenceTransformer
from st_spark.spark import session
from st_spark.specs.row_jobs import EmbedJob
from st_spark.tables import io
from st_spark.tables.change_feed import open_source
from st_spark.tables.changes import DELETED, ID
from st_spark.tables.output import open_output
from tests.spark.join.test_ivf import clustered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """A local session with Delta."""
    started = session.start(delta=True)
    started.sql(f"CREATE DATABASE house LOCATION '{tmp_path_factory.mktemp('house')}'")
    yield started
    started.sql("DROP DATABASE house CASCADE")
    started.stop()


def numbers(spark: "SparkSession", first: int, last: int) -> "DataFrame":
    return spark.range(first, last).selectExpr("id", "id % 2 as k", "cast(id as string) as score")


def save(df: "DataFrame", where: str, mode: str, table_format: str | None = None) -> int | None:
    """Write rows as a job does."""
    with open_output(df.sparkSession, where, table_format, mode, [(where, None)] if mode == "overwrite" else ()) as out:
        out.check(df.schema, "score")
        return out.write(df, df.count)


def ids(spark: "SparkSession", where: str) -> list[int]:
    return sorted(row["id"] for row in io.read(spark, where).select("id").collect())


def detail(spark: "SparkSession", where: str) -> tuple[object, ...]:
    name = f"delta.`{where}`" if "/" in where else where
    row = spark.sql(f"DESCRIBE DETAIL {name}").collect()[0]
    return row["partitionColumns"], row["description"], row["properties"].get("team")


def test_modes_and_versions(spark: "SparkSession", tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert save(numbers(spark, 0, 3), out, "error", "delta") == 0
    assert save(numbers(spark, 3, 5), out, "append") == 1  # the format is found
    assert ids(spark, out) == [0, 1, 2, 3, 4]
    assert save(io.read(spark, out).selectExpr("id + 1 as id", "score"), out, "overwrite") == 2
    assert ids(spark, out) == [1, 2, 3, 4, 5]
    assert io.read(spark, out).columns == ["id", "score"]
    with pytest.raises(TableError, match=r"The output .* exists"):
        save(numbers(spark, 0, 3), out, "error", "delta")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_another_format_than_the_one_that_lies_there_is_refused(
    spark: "SparkSession", tmp_path: Path, mode: str
) -> None:
    first, second = str(tmp_path / "delta"), str(tmp_path / "parquet")
    save(numbers(spark, 0, 3), first, "error", "delta")
    save(numbers(spark, 0, 3), second, "error", "parquet")
    with pytest.raises(TableError, match="holds a table in the format delta, not parquet"):
        save(numbers(spark, 3, 5), first, mode, "parquet")
    with pytest.raises(TableError, match="holds a table in the format parquet, not delta"):
        save(numbers(spark, 3, 5), second, mode, "delta")
    assert ids(spark, first) == ids(spark, second) == [0, 1, 2]


@pytest.mark.parametrize("where", ["path", "house.kept"])
def test_a_delta_table_stays_what_it_is(spark: "SparkSession", tmp_path: Path, where: str) -> None:
    where = str(tmp_path / "out") if where == "path" else where
    name = f"delta.`{where}`" if "/" in where else where
    spark.sql(
        f"CREATE TABLE {name} (id LONG, k LONG, score STRING) USING delta PARTITIONED BY (k) COMMENT 'it''s' "
        "TBLPROPERTIES ('team' = 'us')"
    )
    before = detail(spark, where)
    assert before == (["k"], "it's", "us")
    save(numbers(spark, 0, 4), where, "append")
    assert ids(spark, where) == [0, 1, 2, 3]
    save(numbers(spark, 10, 13), where, "overwrite")
    assert ids(spark, where) == [10, 11, 12]
    assert detail(spark, where) == before


@pytest.mark.parametrize("where", ["path", "house.parts"])
def test_partitions_are_replaced_in_one_version(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path, where: str
) -> None:
    out, source = str(tmp_path / "out") if where == "path" else where, str(tmp_path / "in")
    given: dict[str, Any] = {"input": source, "output": out, "model": str(tiny_model), "text_column": "text"}
    given |= {"output_format": "delta" if where == "path" else "table", "mode": "overwrite", "partition_by": "day,k"}
    spark.conf.set("spark.sql.sources.default", "delta")

    def embed(rows: list[tuple[int, str, str | None, int]]) -> dict[str, Any]:
        spark.createDataFrame(rows, "id int, text string, day string, k int").write.mode("overwrite").parquet(source)
        return runner.run(EmbedJob(**given), spark)["output"]

    assert "partitions" not in embed([(1, "a", "x/=y", 1), (2, "b", None, 1), (3, "c", "z", 1), (4, "d", "z", 2)])
    output = embed([(5, "e", "x/=y", 1), (6, "f", None, 1), (7, "g", "new", 1)])
    assert output["partitions"] == {"replaced": 2, "added": 1, "kept": 2}
    assert (output["version"], detail(spark, out)[0]) == (1, ["day", "k"])
    assert ids(spark, out) == [3, 4, 5, 6, 7]
    spark.conf.unset("spark.sql.sources.default")


@pytest.mark.parametrize("kind", ["delta", "table"])
def test_a_merge_of_changes_reads_only_what_has_changed(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    """From Delta to Delta, and from a catalog table to a Parquet folder."""
    source, output = "house.source" if kind == "table" else str(tmp_path / "source"), str(tmp_path / "out")
    name = source if kind == "table" else f"delta.`{source}`"
    job: dict[str, Any] = {"input": source, "output": output, "model": str(tiny_model), "text_column": "text"}
    job |= {"id_column": "id", "mode": "merge", "since_version": "last", "input_format": kind}
    job["output_format"] = "parquet" if kind == "table" else "delta"

    def merge(**options: Any) -> dict[str, Any]:
        return runner.run(EmbedJob(**{**job, **options}), spark)

    def counts(result: dict[str, Any]) -> dict[str, int]:
        names = ("in", "new", "changed", "updated", "unchanged", "missing", "deleted", "out")
        return {name: result["rows"][name] for name in names if result["rows"].get(name)}

    spark.sql(f"CREATE TABLE {name} (id INT, text STRING, price INT) USING delta")
    spark.sql(f"INSERT INTO {name} SELECT CAST(id AS INT), concat('text ', id), 1 FROM range(8)")
    with pytest.raises(
        InputError, match=r"has no Change Data Feed\. Fix: turn it on: ALTER TABLE .* SET TBLPROPERTIES"
    ):
        merge()
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    with pytest.raises(
        InputError, match=r"There is no table .* yet, and what has changed after version 2 is not all rows"
    ):
        merge(since_version="2")
    assert merge()["input"]["version"] == 2
    # Versions 3 to 8: the last change of each id counts.
    spark.sql(f"UPDATE {name} SET text = 'once', price = 2 WHERE id = 1")
    spark.sql(f"UPDATE {name} SET text = 'twice' WHERE id = 1")
    spark.sql(f"DELETE FROM {name} WHERE id IN (2, 3)")
    spark.sql(f"INSERT INTO {name} VALUES (3, 'text 3', 5), (9, 'nine', 1)")
    spark.sql(f"DELETE FROM {name} WHERE id = 9")
    spark.sql(f"UPDATE {name} SET id = 40, text = 'text 40' WHERE id = 4")
    result = merge()
    assert result["input"] == {"path": source, "format": kind, "version": 8, "since_version": 2}
    assert counts(result) == {"in": 3, "new": 1, "changed": 1, "updated": 1, "missing": 2, "out": 9}
    assert counts(merge(since_version=2, delete_missing=True)) == {"in": 3, "unchanged": 3, "deleted": 2, "out": 7}
    assert counts(merge(delete_missing=True)) == {"out": 7}
    stored = {row["id"]: (row["text"], row["price"]) for row in io.read(spark, output).collect()}
    assert stored == {row["id"]: (row["text"], row["price"]) for row in io.read(spark, source).collect()}
    opened = open_source(spark, source, kind, needed=True)
    assert opened is not None
    with pytest.raises(InputError, match="has no version 99: its newest is 8"):
        opened.changes(99, "id")
    with pytest.raises(InputError, match=r"does not reach back to version 0: .*DELTA_MISSING_CHANGE_DATA"):
        opened.changes(0, "id")
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    spark.sql(f"VACUUM {name} RETAIN 0 HOURS")
    with pytest.raises(InputError, match="does not reach back to version 2"):
        opened.changes(2, "id")


def test_chunks_of_changed_texts_are_merged_and_others_are_not_read(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    """One grows, two shrinks, three and seven are deleted, four stays, five loses its text, and six is new."""
    source, long = f"delta.`{tmp_path}/source`", "The cat sat on the mat. A dog ran in the park. " * 4
    job = EmbedJob(
        input=str(tmp_path / "source"),
        text_column="text",
        id_column="id",
        output=str(tmp_path / "out"),
        output_format="delta",
        mode="merge",
        since_version="last",
        delete_missing=True,
        model=str(tiny_model),
        chunk="20",
        overlap=3,
    )
    feed = "TBLPROPERTIES (delta.enableChangeDataFeed = true)"
    spark.sql(f"CREATE TABLE {source} (id INT, text STRING) USING delta {feed}")
    spark.sql(f"INSERT INTO {source} SELECT CAST(id AS INT), '{long}' FROM range(1, 6) UNION ALL SELECT 7, 'A dog.'")
    first = runner.run(job, spark)["rows"]
    assert (first["in"], first["out"]) == (6, first["chunks"])
    spark.sql(f"UPDATE {source} SET text = concat(text, upper(text)) WHERE id = 1")
    spark.sql(f"UPDATE {source} SET text = 'The cat.' WHERE id = 2")
    spark.sql(f"UPDATE {source} SET text = NULL WHERE id = 5")
    spark.sql(f"INSERT INTO {source} VALUES (6, 'A new dog ran.')")
    spark.sql(f"DELETE FROM {source} WHERE id IN (3, 7)")
    rows = runner.run(job, spark)["rows"]
    fresh = replace(job, output=str(tmp_path / "fresh"), mode="error", since_version=None, delete_missing=False)
    runner.run(fresh, spark)
    stored, expected = (
        {row.chunk_id: (row.id, row.text, row.chunk_start, row.chunk_end) for row in io.read(spark, where).collect()}
        for where in (job.output, fresh.output)
    )
    assert stored == expected
    assert (rows["in"], rows["out"]) == (4, len(expected))
    spark.sql(f"DELETE FROM {source} WHERE id = 1")  # a change that leaves no text to cut
    rows = runner.run(job, spark)["rows"]
    assert (rows["in"], rows["out"]) == (0, len([name for name in expected if not name.startswith("1:")]))


@pytest.mark.parametrize("mode", ["error", "append", "overwrite"])
def test_a_first_write_that_was_killed_does_not_block_the_next(
    spark: "SparkSession", tmp_path: Path, mode: str
) -> None:
    out = tmp_path / "out"
    numbers(spark, 0, 3).write.parquet(str(out))
    (out / "_delta_log").mkdir()
    with pytest.raises(TableError, match="holds a table in the format delta, not parquet"):
        save(numbers(spark, 3, 6), str(out), mode, "parquet")
    assert save(numbers(spark, 3, 6), str(out), mode, "delta") == 0
    assert ids(spark, str(out)) == [3, 4, 5]


@pytest.mark.parametrize("where", ["path", "house.described"])
def test_a_delta_table_has_the_record_of_each_run_in_its_history(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path, where: str
) -> None:
    where = str(tmp_path / "out") if where == "path" else where
    (tmp_path / "in.csv").write_text("id,text\n1,the cat\n2,caf\n")
    fields: dict[str, Any] = {"input": str(tmp_path / "in.csv"), "output": where, "model": str(tiny_model)}
    if "." in where.rpartition("/")[2]:
        spark.sql(f"CREATE TABLE {where} (id STRING) USING delta")
        fields["mode"] = "overwrite"
    else:
        fields["output_format"] = "delta"
    first = runner.run(EmbedJob(**fields, text_column="text", id_column="id"), spark)
    assert describe(spark, where)["last_run"]["rows"] == {"written": 2}
    relative = where if "." in where.rpartition("/")[2] else os.path.relpath(where)
    assert describe(spark, relative)["last_run"]["job_id"] == first["output"]["job_id"]
    (tmp_path / "in.csv").write_bytes(b"id,text\n1,the cat\n3,caf\xe9\n4,new\n")
    job = EmbedJob(**{**fields, "mode": "merge"}, text_column="text", id_column="id", on_error="quarantine")
    result = runner.run(job, spark)
    found = describe(spark, where)
    assert (found["rows"], found["files"] > 0, found["columns"]["embedding"]["dimension"]) == (3, True, 32)
    run = found["last_run"]
    assert (run["version"], run["job_id"]) == (result["output"]["version"], result["output"]["job_id"])
    assert (run["rows"]["new"], run["rows"]["unchanged"], run["rows"]["bad"]) == (1, 1, 1)
    assert [row["id"] for row in io.read(spark, f"{where}__rejected").collect()] == ["3"]
    assert spark.conf.get("spark.databricks.delta.commitInfo.userMetadata", None) is None


@pytest.mark.parametrize("mode", ["error", "append", "overwrite"])
def test_a_first_write_that_fails_leaves_nothing(spark: "SparkSession", tmp_path: Path, mode: str) -> None:
    failing = numbers(spark, 0, 9).selectExpr("if(id = 7, raise_error('stop'), id) as id", "score")
    with pytest.raises(Exception, match="stop"):
        save(failing, str(tmp_path / "out"), mode, "delta")
    assert list(tmp_path.iterdir()) == []


def test_a_merge_is_one_version_that_leaves_other_files_alone(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    out, source = str(tmp_path / "out"), str(tmp_path / "in")
    job: dict[str, Any] = {
        "input": source,
        "output": out,
        "model": str(tiny_model),
        "text_column": "text",
        "id_column": "id",
    }
    job |= {"output_format": "delta", "mode": "merge", "delete_missing": True}

    def merge(rows: list[tuple[int, str]]) -> dict[str, Any]:
        frame = spark.createDataFrame(rows, "id int, text string").repartitionByRange(4, "id")
        frame.write.mode("overwrite").parquet(source)
        return runner.run(EmbedJob(**job), spark)

    assert merge([(key, f"text {key}") for key in range(1024)])["output"]["version"] == 0
    before = set(io.read(spark, out).inputFiles())
    result = merge([(0, "another"), *((key, f"text {key}") for key in range(2, 1025))])
    counts = {"changed": 1, "deleted": 1, "new": 1, "unchanged": 1022, "out": 1024}
    assert {name: result["rows"][name] for name in counts} == counts
    assert result["output"]["version"] == 1
    assert ids(spark, out) == [0, *range(2, 1025)]
    assert before & set(io.read(spark, out).inputFiles())
    wanted = SentenceTransformer(tiny_model, dtype="float32").encode(["another", "text 1024"])
    rows = io.read(spark, out).where("id IN (0, 1024)").orderBy("id").collect()
    np.testing.assert_allclose([row["embedding"] for row in rows], wanted, atol=2e-2)
    assert merge([(0, "another"), *((key, f"text {key}") for key in range(2, 1025))])["output"]["version"] is None
    assert len(spark.sql(f"DESCRIBE HISTORY delta.`{out}`").collect()) == 2


def test_a_merge_that_meets_another_commit_merges_again(
    spark: "SparkSession", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, met = str(tmp_path / "out"), tmp_path / "met"
    save(numbers(spark, 0, 4).coalesce(1), out, "error", "delta")

    def delete_a_row_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from deltalake import DeltaTable

        if not met.exists():
            met.touch()
            DeltaTable(out).delete("id = 3")
        yield from batches

    old = spark.createDataFrame([(0, True), (1, False)], f"{ID} bigint, {DELETED} boolean")
    added = spark.createDataFrame([(1, 1, "new"), (9, 1, "new")], "id bigint, k bigint, score string").coalesce(1)
    with open_output(spark, out, "delta", "merge") as writer:
        version = writer.merge(added.mapInArrow(delete_a_row_once, added.schema), old, "id", 4)
    assert "Another writer changed" in caplog.text
    assert version == 2
    assert sorted(map(tuple, io.read(spark, out).collect())) == [(1, 1, "new"), (2, 0, "2"), (9, 1, "new")]


@pytest.mark.parametrize("kind", ["delta", "table"])
def test_an_index_in_delta_is_read_by_list_and_knows_the_version_of_its_source(
    spark: "SparkSession", tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    where = {name: str(tmp_path / name) if kind == "delta" else f"house.{name}" for name in ("docs", "idx")}
    vectors = clustered(3200, 0, d=16)
    rows = pa.table({"id": range(3200), "embedding": pa.array(list(vectors), pa.list_(pa.float32()))})
    docs = spark.createDataFrame(rows)
    provider = None if kind == "delta" else "delta"
    with open_output(spark, where["docs"], kind, "error", provider=provider) as writer:
        writer.write(docs.where("id < 3000"), lambda: 3000)
    spark.conf.set("spark.sql.sources.default", "delta")
    built = build_index(where["docs"], where["idx"], recall=0.9, output_format=kind)
    assert built["rows"] == {"in": 3000, "out": 3000, "indexed": 3000}
    assert built["source_version"] == "version 0"
    table = io.read(spark, where["idx"])
    queries = spark.createDataFrame([(0, vectors[3100].tolist())], "q int, v array<float>")
    planned = plan_search(queries, table, SearchOptions(k=3, nprobe=1), index=find_index(table, where["idx"], kind))
    scan = planned.scan()
    scan.collect()
    plan = scan._jdf.queryExecution().executedPlan()
    assert "EqualTo(list," in plan.toString()
    read = int(plan.collectLeaves().head().metrics().apply("numOutputRows").value())
    assert planned.probing is not None
    assert planned.probing.facts()["rows_read"] <= read < 1000
    with open_output(spark, where["docs"], kind, "append") as writer:
        writer.write(docs.where("id >= 3000"), lambda: 200)
    search(queries, where["idx"], 1)
    assert "(version 0 then, version 1 now)" in caplog.text
    assert describe(spark, where["idx"])["index"]["stale"] is True
    added = build_index(where["docs"], where["idx"], mode="append")
    assert added["rows"] == {"in": 3200, "out": 200, "indexed": 3200}
    assert describe(spark, where["idx"])["index"]["stale"] is False
    (hit,) = search(queries, where["idx"], 1).collect()
    assert hit["id"] == 3100

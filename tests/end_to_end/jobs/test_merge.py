"""Merges: only new and changed texts are embedded, and the table is the same as one that was embedded anew."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from st_spark import merge_embeddings
from st_spark.errors import InputError, TableError
from st_spark.jobs import runner
from st_spark.specs.row_jobs import EmbedJob
from st_spark.tables import io
from st_spark.tables.changes import ID, STATUS, compare
from tests.support.report_page import sections

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow
Row = tuple[Any, ...]
Run = Callable[..., dict[str, Any]]
SCHEMA = "id bigint, text string, price int"
OLD = [(1, "cat", 5), (2, "dog", 6), (3, "cow", 7), (4, None, 8), (9, "", 9)]
#      price      text              new, its text is known; two new ones with one new text
NEW = [(1, "cat", 6), (2, "doggy", 6), (5, "cat", 7), (6, "fresh", 7), (7, "fresh", 9), (4, None, 8), (9, "", 9)]


def write(spark: "SparkSession", rows: Sequence[Row], where: Path) -> str:
    spark.createDataFrame(list(rows), SCHEMA).coalesce(1).write.mode("overwrite").parquet(str(where))
    return str(where)


@pytest.fixture
def merge(spark: "SparkSession", tiny_model: Path, tmp_path: Path) -> Run:
    """Write rows to tmp_path/in, and merge them into an output, by default tmp_path/out."""

    def run(rows: Sequence[Row], **options: Any) -> dict[str, Any]:
        source = write(spark, rows, tmp_path / "in")
        given = {"input": source, "output": str(tmp_path / "out"), "model": str(tiny_model), "text_column": "text"}
        job = {"id_column": "id", "dtype": "float32", "mode": "merge", **given, **options}
        return runner.run(EmbedJob(**job), spark)

    return run


def stored(spark: "SparkSession", where: str, table_format: str | None = None) -> dict[int, Row]:
    rows = io.read(spark, where, table_format).collect()
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: (row["text"], row["price"], row["embedding"]) for row in rows}


def same(found: dict[int, Row], wanted: dict[int, Row]) -> bool:
    """Return whether two tables are equal; the last bits of a vector depend on its batch."""
    assert found.keys() == wanted.keys()
    for key, (text, price, vector) in wanted.items():
        assert found[key][:2] == (text, price)
        assert found[key][2] == (None if vector is None else pytest.approx(vector, abs=1e-5)), key
    return True


@pytest.mark.parametrize("kind", ["parquet", "partitioned", "table"])
def test_a_merge_embeds_only_new_texts_and_gives_the_table_of_a_new_run(
    spark: "SparkSession", merge: Run, tmp_path: Path, kind: str
) -> None:
    out = {"output": "merged_table", "output_format": "table"} if kind == "table" else {}
    where, table_format = (out["output"], "table") if out else (str(tmp_path / "out"), None)
    spark.sql("DROP TABLE IF EXISTS merged_table")
    first = merge(OLD, **out)
    assert first["rows"]["out"] == 5
    if kind == "partitioned":
        io.read(spark, where).write.partitionBy("price").parquet(str(tmp_path / "by_price"))
        (tmp_path / "out").rename(tmp_path / "plain")
        (tmp_path / "by_price").rename(where)
    metadata = io.read(spark, where, table_format).schema["embedding"].metadata
    result = merge(NEW, **out, **({"report": str(tmp_path / "r.html")} if kind == "table" else {}))
    counts = {"new": 3, "changed": 1, "updated": 1, "unchanged": 2, "missing": 1}
    assert {name: result["rows"][name] for name in counts} == counts
    assert (result["rows"]["in"], result["rows"]["out"], result["duplicates"]) == (7, 8, 2)
    assert result["tokens"] < first["tokens"]  # of doggy and fresh
    if kind == "table":
        shown = sections(tmp_path / "r.html")
        assert "encoded by the model 2 28.6%" in " ".join(shown["Rows"].split())
        assert "kept from the table 3 42.9%" in " ".join(shown["Rows"].split())
        assert "the plots show the whole table" in shown["What ran"]
    table = io.read(spark, where, table_format)
    assert table.schema["embedding"].metadata == metadata
    if kind == "partitioned":
        assert any(path.name.startswith("price=") for path in Path(where).iterdir())
    merge([*NEW, (3, "cow", 7)], output=str(tmp_path / "anew"))
    assert same(stored(spark, where, table_format), stored(spark, str(tmp_path / "anew")))
    spark.sql("DROP TABLE IF EXISTS merged_table")


def test_a_csv_is_merged_with_the_types_of_the_table(spark: "SparkSession", merge: Run, tmp_path: Path) -> None:
    source, wrong = str(tmp_path / "in.csv"), str(tmp_path / "wrong.csv")
    Path(source).write_text("id,text,price\n3,cow,8\n10,hen,\n", encoding="utf-8")
    Path(wrong).write_text("id,text,price\n1,cat,05\n", encoding="utf-8")
    merge(OLD)
    with pytest.raises(TableError, match=r"has price '05' \(STRING\), and .* INT there.*--schema \"price INT\""):
        merge([], input=wrong)
    assert merge([], input=source)["rows"]["updated"] == 1
    assert merge([], input=wrong, schema="price SMALLINT")["rows"]["unchanged"] == 1
    found = stored(spark, str(tmp_path / "out"))
    assert {key: found[key][:2] for key in (1, 3, 10)} == {1: ("cat", 5), 3: ("cow", 8), 10: ("hen", None)}


def test_rows_that_have_left_the_input_go_with_delete_missing(
    spark: "SparkSession", merge: Run, tmp_path: Path
) -> None:
    merge(OLD)
    rows = merge(OLD[:2], delete_missing=True)["rows"]
    assert (rows["deleted"], rows["unchanged"], rows["out"]) == (3, 2, 2)
    assert stored(spark, str(tmp_path / "out")).keys() == {1, 2}
    with pytest.raises(InputError, match="has no row that can be read, so --delete-missing would delete all rows"):
        merge([], delete_missing=True)


def test_an_unchanged_input_writes_nothing(merge: Run, tmp_path: Path) -> None:
    merge(OLD)
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    result = merge(OLD[::-1], delete_missing=True)
    assert (result["rows"]["unchanged"], result["tokens"]) == (5, 0)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == files


def test_vectors_of_another_recipe_are_refused_or_made_anew(spark: "SparkSession", merge: Run, tmp_path: Path) -> None:
    merge(OLD)
    with pytest.raises(TableError, match="was made with prompt None; this job uses prompt 'q: '"):
        merge(NEW, prompt="q: ")
    with pytest.raises(InputError, match=r"1 rows of .*out are not in .*in\. A rebuild would delete them"):
        merge(NEW, prompt="q: ", on_new_recipe="rebuild")
    rows = [*NEW, (3, "cow", 7)]
    assert merge(rows, prompt="q: ", on_new_recipe="rebuild")["output"]["mode"] == "rebuild"
    merge(rows, prompt="q: ", output=str(tmp_path / "anew"))
    assert same(stored(spark, str(tmp_path / "out")), stored(spark, str(tmp_path / "anew")))


def test_a_second_column_becomes_the_first_when_the_model_of_a_table_changes(
    spark: "SparkSession", merge: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.support.checkpoints import write_bert

    other = str(write_bert(tmp_path_factory.mktemp("other") / "bert", dim=24, seed=5))
    merge(OLD)
    old, both = str(tmp_path / "out"), str(tmp_path / "both")
    merge([], input=old, output=both, output_column="embedding_v2", model=other, mode="error")
    table = io.read(spark, both)
    assert {len(row["embedding"] or ()) for row in table.collect()} == {0, 32}
    switched = str(tmp_path / "switched")
    table.drop("embedding").withColumnRenamed("embedding_v2", "embedding").write.parquet(switched)
    with pytest.raises(TableError, match="was made with"):
        merge(OLD, output=switched)
    result = merge(OLD, output=switched, model=other)
    assert (result["rows"]["unchanged"], result["tokens"]) == (5, 0)


def test_another_precision_and_a_table_that_names_no_model_need_a_rebuild(
    spark: "SparkSession", merge: Run, tmp_path: Path
) -> None:
    merge(OLD)
    with pytest.raises(TableError, match="the columns differ: embedding"):
        merge(OLD, precision="binary")
    merge(OLD, precision="binary", on_new_recipe="rebuild")
    assert io.read(spark, str(tmp_path / "out")).schema["embedding"].dataType.simpleString() == "array<tinyint>"
    plain = io.read(spark, str(tmp_path / "out")).withMetadata("embedding", {})
    plain.write.parquet(str(tmp_path / "plain"))
    with pytest.raises(TableError, match="it does not say which model made its column 'embedding'"):
        merge(OLD, output=str(tmp_path / "plain"), precision="binary")


def test_int8_vectors_are_merged_with_the_ranges_of_the_table(
    spark: "SparkSession", merge: Run, tmp_path: Path
) -> None:
    rows = [(key, f"text {key} {'x' * key}", 1) for key in range(20)]
    merge(rows, precision="int8")
    before = stored(spark, str(tmp_path / "out"))
    assert merge([*rows[:-1], (19, rows[0][1], 1)], precision="int8")["rows"]["changed"] == 1
    after = stored(spark, str(tmp_path / "out"))
    assert after[19][2] == before[0][2]
    assert {key: after[key] for key in range(19)} == {key: before[key] for key in range(19)}


def test_strange_names_and_folders_that_look_like_numbers_stay_what_they_are(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    schema = "`i.d` string, `te``xt` string, `meta.lang` string, zip string"
    where, source = str(tmp_path / "out"), str(tmp_path / "in")
    job: dict[str, Any] = {"input": source, "output": where, "model": str(tiny_model), "text_column": "te`xt"}
    job |= {"id_column": "i.d", "mode": "merge"}

    def run(*rows: Row) -> dict[str, Any]:
        spark.createDataFrame(list(rows), schema).write.mode("overwrite").parquet(source)
        return runner.run(EmbedJob(**job), spark)["rows"]

    first, second, third = ("1", "a", "en", "01067"), ("2", "b", "de", "00001"), ("3", "c", "de", "unknown")
    run(first, second)
    io.read(spark, where).write.partitionBy("zip").parquet(f"{where}_by_zip")
    (tmp_path / "out").rename(tmp_path / "plain")
    (tmp_path / "out_by_zip").rename(where)
    assert run(first, second)["unchanged"] == 2
    assert run(first, ("2", "b", "fr", "00001"), third)["updated"] == 1
    assert sorted(path.name for path in Path(where).glob("zip=*")) == ["zip=00001", "zip=01067", "zip=unknown"]
    assert {row["i.d"]: row["meta.lang"] for row in io.read(spark, where).collect()} == {
        "1": "en",
        "2": "fr",
        "3": "de",
    }


def test_a_merge_of_a_dataframe_deletes_nothing_and_keeps_its_cache(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    rows = spark.createDataFrame(OLD, SCHEMA).persist()
    with pytest.raises(InputError, match="delete_missing would delete all rows that are not in this DataFrame"):
        merge_embeddings(rows, str(tmp_path / "out"), model=str(tiny_model), delete_missing=True)
    with pytest.raises(InputError, match=r"mode is given, and merge_embeddings\(\) merges .* Fix: leave mode out"):
        merge_embeddings(rows, str(tmp_path / "out"), model=str(tiny_model), mode="overwrite")
    merge_embeddings(rows, str(tmp_path / "out"), model=str(tiny_model))
    assert rows.is_cached
    assert rows.storageLevel.useMemory
    rows.unpersist()
    stream = spark.readStream.schema(SCHEMA).parquet(str(tmp_path / "out"))
    with pytest.raises(InputError, match="df is a stream"):
        merge_embeddings(stream, str(tmp_path / "out"), model=str(tiny_model))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, "a", 1), (1, "b", 1)], "Duplicate ids in .*in: 1"),
        ([(None, "a", 1)], "has 1 rows without an id in 'id'"),
    ],
)
def test_ids_of_the_input_must_be_unique(merge: Run, rows: list[Row], message: str) -> None:
    with pytest.raises(InputError, match=message):
        merge(rows)


def test_ids_of_the_table_must_be_unique(merge: Run) -> None:
    merge([(1, "a", 1), (1, "b", 1)], mode="error")
    with pytest.raises(InputError, match=r"Duplicate ids in .*out: 1"):
        merge(OLD)


def test_unreadable_rows_cannot_delete_their_old_versions(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    given = {"input": str(source), "output": str(tmp_path / "out"), "model": str(tiny_model), "text_column": "text"}
    job: dict[str, Any] = {**given, "id_column": "id", "mode": "merge", "delete_missing": True}
    source.write_text("id,text\n1,a\n2,b\n")
    runner.run(EmbedJob(**job), spark)
    source.write_text("id,text\n1,a\n2,b,too,many\n")
    with pytest.raises(InputError, match=r"1 rows of .* cannot be read, so --delete-missing could delete them"):
        runner.run(EmbedJob(**job), spark)
    result = runner.run(EmbedJob(**job | {"delete_missing": False}), spark)
    assert (result["rows"]["corrupt"], result["rows"]["missing"], result["rows"]["out"]) == (1, 1, 2)


def test_micro_batches_of_a_stream_merge_and_a_repeated_one_changes_nothing(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    out, source = str(tmp_path / "out"), tmp_path / "stream"
    results: list[dict[str, Any]] = []

    def handle(batch: "DataFrame", number: int) -> None:
        repeats = range(1 + number)  # the second batch comes twice
        results.extend(merge_embeddings(batch, out, model=str(tiny_model), dtype="float32") for _ in repeats)

    for rows in (OLD, NEW):
        spark.createDataFrame(rows, SCHEMA).coalesce(1).write.mode("append").parquet(str(source))
        stream = spark.readStream.schema(SCHEMA).parquet(str(source)).writeStream.foreachBatch(handle)
        query = stream.option("checkpointLocation", str(tmp_path / "checkpoint")).trigger(availableNow=True).start()
        query.awaitTermination()
        query.stop()
    assert [result["rows"].get("unchanged") for result in results] == [None, 2, 7]
    assert results[2]["tokens"] == 0
    assert stored(spark, out).keys() == {1, 2, 3, 4, 5, 6, 7, 9}


def test_compare_finds_every_change_of_a_random_table(spark: "SparkSession") -> None:
    schema = "id string, text string, a int, b int, tags map<string, string>, point struct<x: int, y: int>"
    random_ = random.Random(3)

    def row(key: int) -> list[Any]:
        numbers = [random_.choice([None, 0, 1]) for _ in range(4)]
        tags = random_.choice([None, {"k": "v"}, {"k": None}])
        return [str(key), random_.choice([None, "", "x", "y"]), *numbers[:2], tags, tuple(numbers[2:])]

    old = {key: row(key) for key in range(600)}
    new = {key: old[key] if key in old and random_.random() < 0.3 else row(key) for key in range(50, 650)}
    wanted = {}
    for key in old.keys() | new.keys():
        if key not in old or key not in new:
            wanted[str(key)] = "new" if key in new else "missing"
        elif old[key][1] != new[key][1]:
            wanted[str(key)] = "changed"
        else:
            wanted[str(key)] = "unchanged" if old[key] == new[key] else "updated"
    before, after = (spark.createDataFrame(list(rows.values()), schema) for rows in (old, new))
    found = {each[ID]: each[STATUS] for each in compare(before, after, "id", ["text"]).collect()}
    assert found == wanted
    assert set(wanted.values()) == {"new", "changed", "updated", "unchanged", "missing"}

"""Bad rows: what --on-error and --max-bad do with them, in every job."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from st_spark.errors import InputError
from st_spark.jobs import runner
from st_spark.specs.pair_jobs import DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import ClassifyJob, EmbedJob, SearchJob
from st_spark.tables import io
from st_spark.tables.bad_rows import check_names
from tests.support.checkpoints import write_modules
from tests.support.report_page import sections
from tests.support.word_checkpoints import write_static

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

# Good, undecodable, corrupt, infinite, without a text (which is no bad row).
LINES = b"id,text\n1,the cat\n2,caf\xe9\n3,too,many\n4,mat mat\n5,\n"
REJECTED = [
    ("2", "caf\ufffd", "undecodable", "text", None),
    ("3", "too", "corrupt", None, "3,too,many"),
    ("4", "mat mat", "not finite", "embedding", None),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose vector of "mat mat" is infinite: the sum of two large numbers."""
    folder = write_static(tmp_path_factory.mktemp("models") / "static")
    write_modules(folder, ("0_StaticEmbedding", "StaticEmbedding"))
    file = folder / "0_StaticEmbedding" / "model.safetensors"
    weights = load_file(file)
    from tokenizers import Tokenizer

    word = Tokenizer.from_file(str(folder / "0_StaticEmbedding" / "tokenizer.json")).token_to_id("mat")
    weights["embedding.weight"][word] = 3e38
    assert not torch.isfinite(weights["embedding.weight"][word] * 2).any()
    save_file(weights, file)
    return str(folder)


@pytest.fixture
def embed(large: str, tmp_path: Path) -> EmbedJob:
    where = tmp_path / "in.csv"
    where.write_bytes(LINES)
    return EmbedJob(input=str(where), output=str(tmp_path / "out"), model=large, text_column="text", id_column="id")


def changed(job: Any, **fields: Any) -> Any:
    return type(job)(**{**vars(job), **fields})


def vectors(spark: "SparkSession", where: str) -> dict[Any, str]:
    """Return whether the vector of each id is there, null or not finite."""

    def kind(vector: list[float] | None) -> str:
        return "null" if vector is None else "vector" if all(map(math.isfinite, vector)) else "not finite"

    return {row["id"]: kind(row["embedding"]) for row in io.read(spark, where).collect()}


def rejected(spark: "SparkSession", output: str) -> list[tuple[object, ...]]:
    return sorted(map(tuple, io.read(spark, f"{output}__rejected").collect()), key=str)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, {"1": "vector", "2": "vector", "4": "not finite", "5": "null"}),
        ({"max_bad": "60%"}, {"1": "vector", "2": "vector", "4": "not finite", "5": "null"}),
        ({"on_error": "null"}, {"1": "vector", "2": "null", "4": "null", "5": "null"}),
        ({"on_error": "quarantine", "max_bad": "3"}, {"1": "vector", "5": "null"}),
    ],
)
def test_bad_rows_are_written_emptied_or_set_aside(
    spark: "SparkSession", embed: EmbedJob, options: dict[str, str], found: dict[str, str]
) -> None:
    page = str(Path(embed.output).with_name("r.html"))
    more = {"report": page} if options.get("on_error") == "quarantine" else {}
    result = runner.run(changed(embed, **options, **more), spark)
    assert vectors(spark, embed.output) == found
    rows = result["rows"]
    counts = [rows[name] for name in ("in", "out", "null", "corrupt", "undecodable", "nan")]
    assert counts == [5, len(found), 1, 1, 1, 1]
    assert rows.get("bad") == (3 if options else None)
    assert ("rejected" in result) == (options.get("on_error") == "quarantine")
    if "rejected" in result:
        where = f"{embed.output}__rejected"
        assert result["rejected"] == {"path": where, "format": "parquet", "rows": 3, "version": None}
        assert io.read(spark, where).columns == ["id", "text", "reason", "column", "raw_text"]
        assert rejected(spark, embed.output) == REJECTED
        shown = " ".join(sections(page)["Rejected rows"].split())
        assert "3 rows of this run were rejected" in shown
        assert "corrupt 1 3,too,many not finite embedding 1 4, mat mat undecodable text 1 2, caf\ufffd" in shown


@pytest.mark.parametrize(
    ("options", "lines", "message"),
    [
        ({"on_error": "fail"}, LINES, r"2 of 5 rows of .* are bad \(1 corrupt, 1 undecodable\).*id '2' \(undecod"),
        ({"max_bad": "1"}, LINES, r"--max-bad allows 1: id '2' \(undecodable, column 'text'\); row '3,too,many'"),
        ({"max_bad": "59%"}, LINES, r"3 of 5 rows .* id '4' \(not finite, column 'embedding'\)\. Nothing was written"),
        ({"on_error": "fail"}, b"id,text\n1,a\n4,mat mat\n", r"1 of 2 rows .* \(1 not finite\), and --on-error fail"),
    ],
)
def test_too_many_bad_rows_stop_the_job_before_it_writes(
    spark: "SparkSession", embed: EmbedJob, options: dict[str, str], lines: bytes, message: str
) -> None:
    Path(embed.input).write_bytes(lines)
    with pytest.raises(InputError, match=message):
        runner.run(changed(embed, **options), spark)
    assert [path.name for path in Path(embed.output).parent.iterdir()] == ["in.csv"]


def test_an_overwrite_replaces_the_rejected_rows_and_an_append_adds_to_them(
    spark: "SparkSession", embed: EmbedJob
) -> None:
    job = changed(embed, on_error="quarantine")
    runner.run(job, spark)
    Path(job.input).write_bytes(b"id,text\n6,caf\xe9\n")
    runner.run(changed(job, mode="append"), spark)
    parquet = f"{job.input}.parquet"
    spark.sql("SELECT '7' AS id, CAST(X'63616665E9' AS STRING) AS text").write.parquet(parquet)
    runner.run(changed(job, input=parquet, mode="append"), spark)
    assert [row[0] for row in rejected(spark, job.output)] == ["2", "3", "4", "6", "7"]
    Path(job.input).write_bytes(b"id,text\n1,a\n")
    assert runner.run(changed(job, mode="overwrite"), spark)["rejected"]["rows"] == 0
    assert rejected(spark, job.output) == []


def test_an_overwrite_of_partitions_replaces_their_rejected_rows_alone(spark: "SparkSession", embed: EmbedJob) -> None:
    job = changed(embed, on_error="quarantine", partition_by="day")
    Path(job.input).write_bytes(b"id,day,text\n1,mon,cat\n2,mon,caf\xe9\n3,tue,caf\xe9\n4,tue,dog\n")
    runner.run(job, spark)
    Path(job.input).write_bytes(b"id,day,text\n5,tue,caf\xe9\n6,tue,cat\n")
    assert runner.run(changed(job, mode="overwrite"), spark)["rejected"]["rows"] == 2
    assert [row[0] for row in rejected(spark, job.output)] == ["2", "5"]
    assert sorted(row["id"] for row in io.read(spark, job.output).collect()) == ["1", "6"]


def test_a_merge_keeps_the_old_version_of_a_row_that_is_rejected(spark: "SparkSession", embed: EmbedJob) -> None:
    job = changed(embed, on_error="quarantine", mode="merge")
    runner.run(job, spark)
    Path(job.input).write_bytes(b"id,text\n1,mat mat\n2,cafe\n7,caf\xe9\n8,mat mat\n9,too,many\n")
    result = runner.run(job, spark)
    names = ("in", "out", "new", "changed", "updated", "unchanged", "missing", "corrupt", "bad")
    assert [result["rows"][name] for name in names] == [5, 3, 1, 0, 0, 0, 1, 1, 4]
    assert {row["id"]: row["text"] for row in io.read(spark, job.output).collect()} == {
        "1": "the cat",
        "2": "cafe",
        "5": None,
    }
    found = [(row[0], row[2]) for row in rejected(spark, job.output)]
    # 2 is good now; 4 is not in this input; the corrupt row of the first run is gone.
    wanted = [("1", "not finite"), ("4", "not finite"), ("7", "undecodable"), ("8", "not finite"), ("9", "corrupt")]
    assert found == wanted
    Path(job.input).write_bytes(b"id,text\n1,mat mat\n")
    with pytest.raises(InputError, match=r"1 of 1 rows .* \(1 without a valid vector\).*id '1' \(not finite"):
        runner.run(changed(job, on_error="fail"), spark)


def test_a_merge_does_not_copy_a_bad_vector_of_the_table(spark: "SparkSession", embed: EmbedJob) -> None:
    job = changed(embed, mode="merge")
    runner.run(job, spark)
    Path(job.input).write_bytes(b"id,text\n8,mat mat\n9,the cat\n")
    runner.run(changed(job, on_error="quarantine"), spark)
    assert [(row[0], row[2]) for row in rejected(spark, job.output)] == [("8", "not finite")]
    assert vectors(spark, job.output)["9"] == "vector"


def test_strings_of_parquet_that_are_not_utf8_are_found(spark: "SparkSession", embed: EmbedJob, tmp_path: Path) -> None:
    where = str(tmp_path / "texts")
    spark.sql("SELECT 1 AS id, 'a' AS text UNION SELECT 2, CAST(X'63616665E9' AS STRING)").write.parquet(where)
    assert runner.run(changed(embed, input=where), spark)["rows"]["undecodable"] == 1
    result = runner.run(changed(embed, input=where, on_error="quarantine", mode="overwrite"), spark)
    assert (result["rows"]["out"], result["rejected"]["rows"]) == (1, 1)
    assert [(row[0], row[2]) for row in rejected(spark, embed.output)] == [(2, "undecodable")]


@pytest.mark.parametrize("kind", [EmbedJob, ClassifyJob])
def test_unreadable_images_are_set_aside(
    spark: "SparkSession", tiny_clip: Path, digits: Path, tmp_path: Path, kind: Any
) -> None:
    page = str(tmp_path / "r.html")
    more = {"labels": "zero,one"} if kind is ClassifyJob else {"report": page}
    job = kind(
        input=str(digits),
        input_format="binaryFile",
        output=str(tmp_path / "out"),
        model=str(tiny_clip),
        text_column="content",
        on_error="quarantine",
        **more,
    )
    result = runner.run(job, spark)
    assert [result["rows"][name] for name in ("in", "out", "unreadable", "bad")] == [62, 60, 2, 2]
    found = io.read(spark, f"{job.output}__rejected").collect()
    assert {Path(row["path"]).name[:3] for row in found} == {"bad"}
    if kind is EmbedJob:
        shown = sections(page)
        assert "Length of texts" not in shown
        assert "60 sampled vectors" in shown["Map"] and "cannot be read as an image" in shown["Rejected rows"]
    assert all("cannot be read as an image" in row["reason"] and row["column"] == "content" for row in found)
    with pytest.raises(InputError, match=r"2 of 62 rows .*path 'file:.*bad.* \(.*cannot be read as an image"):
        runner.run(changed(job, on_error="fail", mode="overwrite"), spark)
    assert io.read(spark, job.output).count() == 60


def vector_table(spark: "SparkSession", where: Path) -> "DataFrame":
    """Write eight good vectors, and one row for each way in which a row can be bad."""
    bad = {10: None, 11: [1.0], 12: [math.nan, 1.0], 13: [math.inf, 1.0], 14: [0.0, 0.0], None: [1.0, 2.0]}
    rows = [(i, [1.0, float(i)]) for i in range(8)] + list(bad.items())
    df = spark.createDataFrame(rows, "id long, embedding array<float>")
    df.write.parquet(str(where))
    return df


BAD = [
    ("null id", "id"),
    ("null", "embedding"),
    ("dimension", "embedding"),
    ("not finite", "embedding"),
    ("not finite", "embedding"),
    ("zero", "embedding"),
]


@pytest.mark.parametrize(
    ("kind", "tables"), [(JoinJob, ("left", "right")), (DedupJob, ("input",)), (MineJob, ("source", "target"))]
)
def test_vectors_that_cannot_be_compared_are_set_aside(
    spark: "SparkSession", tmp_path: Path, kind: Any, tables: tuple[str, ...]
) -> None:
    vector_table(spark, tmp_path / "first")
    spark.sql("SELECT 'a' AS id, array(1f, 1f) AS embedding UNION ALL SELECT 'b', NULL").write.parquet(
        str(tmp_path / "second")
    )
    places = dict(zip(tables, (str(tmp_path / "first"), str(tmp_path / "second")), strict=False))
    job = kind(**places, output=str(tmp_path / "out"), on_error="quarantine")
    result = runner.run(job, spark)
    ids: list[Any] = [None, 10, 11, 12, 13, 14]
    if len(tables) == 2:
        ids = [each if each is None else str(each) for each in ids]
    wanted = [(places[tables[0]], each, *why, None) for each, why in zip(ids, BAD, strict=True)]
    wanted += [(places[tables[1]], "b", "null", "embedding", None)] if len(tables) == 2 else []
    assert rejected(spark, job.output) == sorted(wanted, key=str)
    assert result["rejected"]["rows"] == len(wanted)
    with pytest.raises(InputError, match=r"6 of 14 rows of .*first are bad \(.*1 dimension.*id .*\); \.\.\."):
        runner.run(changed(job, on_error="fail", mode="overwrite"), spark)
    runner.run(changed(job, on_error=None, max_bad="50%", mode="overwrite"), spark)
    in_place = changed(job, output=places[tables[0]], mode="overwrite")
    assert runner.run(in_place, spark)["rejected"]["rows"] == len(wanted)


def test_texts_of_a_join_that_cannot_be_read_are_set_aside(
    spark: "SparkSession", embed: EmbedJob, large: str, tmp_path: Path
) -> None:
    job = DedupJob(
        input=embed.input, output=str(tmp_path / "out"), model=large, text_column="text", on_error="quarantine"
    )
    result = runner.run(job, spark)
    counts = {"corrupt": 1, "undecodable": 1, "null": 1, "not finite": 1}
    assert result["input"]["set_aside"] == counts
    assert result["input"]["rows"] == 5
    assert [row[1:] for row in rejected(spark, job.output)] == [
        ("2", "undecodable", "text", None),
        ("3", "corrupt", None, "3,too,many"),
        ("4", "not finite", "text", None),
        ("5", "null", "text", None),
    ]


def test_search_counts_bad_vectors_and_stops_if_asked(spark: "SparkSession", tiny_model: Path, tmp_path: Path) -> None:
    job = EmbedJob(
        input=str(tmp_path / "in.csv"),
        output=str(tmp_path / "made"),
        model=str(tiny_model),
        text_column="text",
        id_column="id",
    )
    Path(job.input).write_text("id,text\n1,the cat\n2,a mat\n3,\n")
    runner.run(job, spark)
    table = str(tmp_path / "table")
    made = io.read(spark, job.output)
    metadata = made.schema["embedding"].metadata
    rows = made.selectExpr("id", "IF(id = 2, array(1f), embedding) AS embedding").withMetadata("embedding", metadata)
    rows.orderBy(rows.id.desc()).coalesce(1).write.parquet(table)  # the short vector comes first
    spark.read.parquet(table).drop("id").write.parquet(f"{table}_without_ids")
    assert runner.run(SearchJob(query="the cat", table=f"{table}_without_ids"), spark)["rows"]["dimension"] == 1
    search = SearchJob(query="the cat", table=table)
    result = runner.run(search, spark)
    assert result["rows"] == {"in": 3, "null": 1, "nan": 0, "dimension": 1}
    assert [hit["row"]["id"] for hit in result["hits"]] == ["1"]
    runner.run(changed(search, max_bad="2"), spark)
    for options in ({"on_error": "fail"}, {"max_bad": "1"}):
        with pytest.raises(InputError, match=r"2 of 3 rows of .* \(1 null, 1 dimension\).*id '3' \(null, column 'emb"):
            runner.run(changed(search, **options), spark)


def test_an_input_with_a_column_of_the_rejected_table_is_refused(spark: "SparkSession", embed: EmbedJob) -> None:
    Path(embed.input).write_text("id,text,Reason\n1,a,b\n")
    with pytest.raises(InputError, match=r"has a column 'Reason' already.*rename it: the table of rejected rows"):
        runner.run(changed(embed, on_error="quarantine"), spark)
    with pytest.raises(InputError, match="has a column 'raw_text' already"):
        check_names(spark.range(1).withColumnRenamed("id", "raw_text"), "in")

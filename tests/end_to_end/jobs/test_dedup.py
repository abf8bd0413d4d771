"""The dedup job: groups of a table of vectors or texts, and its result."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from st_spark.cli import main
from st_spark.errors import InputError, TableError
from st_spark.jobs import runner
from st_spark.specs.pair_jobs import DedupJob
from st_spark.specs.row_jobs import EmbedJob
from st_spark.tables import io
from tests.support.report_page import sections

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CAT, SAME, DOG = "A cat sleeps on the sofa.", "A cat is sleeping on the sofa.", "Shares fell sharply on Monday."


@pytest.mark.slow
def test_vectors_are_grouped_and_rows_without_vectors_counted(spark: "SparkSession", tmp_path: Path) -> None:
    rows = [(1, "en", [1.0, 0.0]), (2, "en", [1.0, 0.0]), (3, "en", [1.0, 0.1]), (4, "de", [1.0, 0.1]), (5, "en", None)]
    others = [(6, None, [1.0, 0.1]), (7, None, [0.0, 0.0]), (None, "en", [1.0, 0.0])]
    spark.createDataFrame([*rows, *others], "id bigint, lang string, v array<float>").write.parquet(
        str(tmp_path / "in")
    )
    page = str(tmp_path / "r.html")
    job = DedupJob(input=str(tmp_path / "in"), output=str(tmp_path / "out"), on="lang", report=page)
    result = runner.run(job, spark)
    aside = {"null": 1, "null id": 1, "zero": 1}
    assert result["input"] == {"path": job.input, "rows": 8, "kept": 5, "set_aside": aside, "dimension": 2}
    assert result["groups"] == {"all": 3, "of_several": 1, "largest": 3}
    names = ("job", "duplicates", "copies", "null_keys", "threshold", "score", "linkage", "method", "model")
    assert [result[name] for name in names] == ["dedup", 2, 1, 2, 0.9, "cosine", "components", "exact", None]
    assert {"read", "survey", "group_and_write", "total"} <= set(result["seconds"])
    found = io.read(spark, job.output).orderBy("id").collect()
    assert [(row["id"], row["group"], row["size"], row["representative"]) for row in found] == [
        (1, 1, 3, True),
        (2, 1, 3, False),
        (3, 1, 3, False),
        (4, 4, 1, True),
        (6, 6, 1, True),
    ]
    shown = {title: " ".join(text.split()) for title, text in sections(page).items()}
    assert "input read 8 input used 5 input set aside: null 1" in shown["Inputs"]
    assert shown["Largest groups"].endswith("its score 3 1 3 0.9950")  # rows, representative, least similar row
    assert "The lowest scores score kept id 1.0000 1 2 0.9950 1 3" in shown["Examples"]
    with pytest.raises(TableError, match="exists"):
        runner.run(job, spark)


@pytest.mark.slow
def test_the_table_without_its_duplicates_is_written_and_new_rows_are_compared_with_it(
    spark: "SparkSession", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(1, 1, [1.0, 0.0]), (2, 3, [1.0, 0.01]), (3, 2, [1.0, 0.02]), (4, 1, [0.0, 1.0]), (5, 1, None)]
    new = [(2, 3, [1.0, 0.01]), (6, 4, [0.01, 1.0]), (7, 4, [-1.0, 0.0]), (8, 5, [-1.0, 0.01])]
    kind, unique = "id bigint, day int, v array<float>", str(tmp_path / "unique")
    for name, some in (("in", rows), ("new", new)):
        spark.createDataFrame(some, kind).write.parquet(str(tmp_path / name))
    argv = ["dedup", f"--output={tmp_path / 'out'}", f"--output-kept={unique}", f"--result={tmp_path / 'r.json'}"]
    argv += ["--threshold=0.99", "--keep=day DESC"]
    page = str(tmp_path / "r.html")
    assert main.main([*argv, f"--input={tmp_path / 'in'}", f"--report={page}"]) == 0
    assert "its score 3 2 " in " ".join(sections(page)["Largest groups"].split())  # rows, representative
    assert f"kept: 3 rows, in {unique}" in capsys.readouterr().out
    found = io.read(spark, str(tmp_path / "out")).orderBy("id").collect()
    assert [(row["id"], row["group"], row["representative"]) for row in found] == [
        (1, 1, False),
        (2, 1, True),
        (3, 1, False),
        (4, 4, True),
    ]
    kept = io.read(spark, unique)
    assert (kept.columns, sorted(row["id"] for row in kept.collect())) == (["id", "day", "v"], [2, 4, 5])
    more = [f"--input={tmp_path / 'new'}", "--where=day > 3", f"--against={unique}", "--against-where=day < 4"]
    first = [f"--output={tmp_path / 'first'}", "--threshold=0.99", f"--report={page}"]
    assert main.main(["dedup", *more, *first]) == 0
    shown = " ".join(sections(page)["Examples"].split())
    assert "4 6" in shown, shown  # row 4 is one of the earlier rows
    assert main.main([*argv, *more, "--mode=append"]) == 0
    assert f"1 are duplicates of rows of {unique}" in capsys.readouterr().out
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["known"], result["duplicates"], result["kept"]["rows"]) == (1, 2, 1)
    assert (result["input"]["rows"], result["against"]["rows"], result["against"]["kept"]) == (3, 3, 2)
    assert sorted(row["id"] for row in io.read(spark, unique).collect()) == [2, 4, 5, 8]
    wrong = [f"--input={tmp_path / 'in'}", "--keep=dya", "--mode=overwrite"]
    assert main.main([*argv, *wrong]) == 2
    assert "has no column 'dya'. Fix: the table has id, day, v; did you mean 'day'?" in capsys.readouterr().err


@pytest.mark.slow
def test_texts_are_embedded_and_grouped(spark: "SparkSession", minilm: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"id": name, "text": text}) for name, text in zip("dabc", (CAT, SAME, DOG, None), strict=True)]
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, "{broken"]) + "\n")
    job = DedupJob(
        input=str(tmp_path / "in.jsonl"),
        output=str(tmp_path / "out"),
        model=str(minilm),
        text_column="text",
        linkage="leader",
    )
    held = set(spark.sparkContext._jsc.getPersistentRDDs())
    result = runner.run(job, spark)
    assert result["input"]["set_aside"] == {"null": 1, "corrupt": 1}
    assert result["model"]["dim"] == result["input"]["dimension"] == 384
    assert result["groups"] == {"all": 2, "of_several": 1, "largest": 2}
    found = io.read(spark, job.output).orderBy("id")
    assert [tuple(row)[:4] for row in found.collect()] == [
        ("a", "a", 2, True),
        ("b", "b", 1, True),
        ("d", "a", 2, False),
    ]
    assert set(spark.sparkContext._jsc.getPersistentRDDs()) <= held


@pytest.mark.slow
def test_the_score_is_the_similarity_of_the_model(spark: "SparkSession", minilm: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"id,text\n1,{CAT}\n2,{SAME}\n3,{DOG}\n")
    embedded = str(tmp_path / "embedded")
    runner.run(EmbedJob(input=str(tmp_path / "in.csv"), output=embedded, model=str(minilm), text_column="text"), spark)
    result = runner.run(DedupJob(input=embedded, output=str(tmp_path / "out")), spark)
    assert (result["score"], result["model"]["name"]) == ("cosine", str(minilm))
    assert result["duplicates"] == 1
    with pytest.raises(InputError, match="no column 'name'"):
        runner.run(DedupJob(input=embedded, output=str(tmp_path / "no"), id_column="name"), spark)
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_the_command_prints_a_summary_and_writes_the_result(
    spark: "SparkSession", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(i, [1.0, i % 3 * 10.0]) for i in range(6)]
    spark.createDataFrame([*rows, (9, None)], "id bigint, v array<double>").write.parquet(str(tmp_path / "in"))
    where = [f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}", f"--result={tmp_path / 'r.json'}"]
    assert main.main(["dedup", *where, "--threshold=0.99", "--report=nosuch://bucket/r.html"]) == 0
    shown = capsys.readouterr().out
    assert "4 duplicates, 3 of them exact copies" in shown
    assert "2 groups, 2 of several rows, the largest of 4" in shown
    assert "set aside: 1 null" in shown
    assert "  report nosuch://bucket/r.html was not written: " in shown  # the table was, so the job has not failed
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["job"], result["report"]["path"]) == ("dedup", "nosuch://bucket/r.html")
    assert "nosuch" in result["report"]["error"]
    assert main.main(["dedup", *where, "--mode=overwrite", "--score=euclidean"]) == 2
    assert "No euclidean score reaches the threshold 0.9" in capsys.readouterr().err

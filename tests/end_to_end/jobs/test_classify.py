"""The classify job: images and texts get labels, and the result counts rows of every kind."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark.cli import main
from st_spark.errors import InputError, TableError
from st_spark.jobs import runner
from st_spark.specs.row_jobs import ClassifyJob, EmbedJob
from st_spark.tables import io
from tests.support.clip_checkpoints import opened, oracle

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.slow
def test_a_folder_of_images_is_classified_and_bad_files_are_counted(
    spark: "SparkSession", digits: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    from sentence_transformers import util

    job = ClassifyJob(
        input=str(digits),
        input_format="binaryFile",
        output=str(tmp_path / "out"),
        model=str(tiny_clip),
        text_column="content",
        labels="zero,one,two",
        template="the number {}",
        dtype="float32",
    )
    result = runner.run(job, spark)
    assert result["labels"] == ["zero", "one", "two"]
    others = ("null", "empty", "truncated", "corrupt", "undecided")
    assert result["rows"] == {"in": 62, "out": 62, "unreadable": 2, **dict.fromkeys(others, 0)}
    rows = io.read(spark, job.output).collect()
    by_name = {Path(row["path"]).name: row["classification"] for row in rows}
    shown, peer = opened(digits), oracle(tiny_clip)
    expected = util.cos_sim(peer.encode(list(shown.values())), peer.encode(["the number zero", "the number one"]))
    np.testing.assert_allclose([by_name[name]["scores"][:2] for name in shown], expected.numpy(), atol=1e-5)
    assert [tuple(by_name[name]) for name in by_name if name not in shown] == [(None, None, None)] * 2


@pytest.mark.slow
def test_texts_are_classified_by_a_table_of_labels(spark: "SparkSession", minilm: Path, tmp_path: Path) -> None:
    texts, labels = tmp_path / "texts.jsonl", tmp_path / "labels.csv"
    lines = [("a", "The striker scored twice."), ("b", None), ("c", "Parliament passed the bill."), ("c", " ")]
    texts.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in lines) + "{broken\n")
    labels.write_text("name\nsport\npolitics\nsport\n\n")
    job = ClassifyJob(
        input=str(texts),
        output=str(tmp_path / "out"),
        model=str(minilm),
        text_column="text",
        id_column="id",
        labels_table=str(labels),
        label_column="name",
    )
    result = runner.run(job, spark)
    assert result["labels"] == ["politics", "sport"]
    assert result["label_rows"]["duplicate"] == 1
    counts = {"in": 5, "out": 4, "null": 1, "empty": 1, "truncated": 0, "corrupt": 1, "undecided": 0, "undecodable": 0}
    assert result["rows"] == {**counts, "null_id": 0, "duplicate_id": 1}
    found = {row["id"]: row["classification"] for row in io.read(spark, job.output).collect() if row["text"] != " "}
    assert {i: row and row["label"] for i, row in found.items()} == {"a": "sport", "b": None, "c": "politics"}
    labels.write_bytes("name\npolítica\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"has the label 'pol.tica', with a character that could not be decoded"):
        runner.run(job, spark)
    labels.write_text("name\nsport\npolitics\n")
    again = ClassifyJob(**{**vars(job), "mode": "append", "template": "about {}"})
    with pytest.raises(TableError, match=r"template '{}'; this job uses template 'about {}'"):
        runner.run(again, spark)


@pytest.mark.slow
def test_the_command_prints_a_summary_and_writes_the_result(
    spark: "SparkSession", minilm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text("text\nThe striker scored twice.\n\n")
    where = [f"--input={tmp_path / 'in.csv'}", f"--output={tmp_path / 'out'}", f"--result={tmp_path / 'r.json'}"]
    argv = ["classify", *where, "--text-column=text", f"--model={minilm}", "--labels=sport,politics"]
    assert main.main(argv) == 0
    assert "column classification" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["job"] == "classify"
    assert main.main([*argv, "--mode=overwrite", "--labels=sport,world politics", "--wide"]) == 0
    rows = io.read(spark, str(tmp_path / "out")).select("classification.scores", "classification_sport").collect()
    assert all(row["classification_sport"] == (row["scores"] and row["scores"][0]) for row in rows)
    assert "classification_world_politics" in io.read(spark, str(tmp_path / "out")).columns
    assert main.main([*argv, "--mode=overwrite", "--labels=a b,a=b", "--wide"]) == 2
    assert "Label 'a=b' needs the column 'a_b'" in capsys.readouterr().err
    assert main.main([*argv, "--mode=overwrite", "--labels=sport,sport"]) == 2
    assert "Label 'sport' is repeated" in capsys.readouterr().err


@pytest.mark.slow
def test_images_are_embedded_and_a_text_model_for_them_is_an_error(
    spark: "SparkSession", digits: Path, tiny_clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"input": str(digits), "input_format": "binaryFile", "text_column": "content"}
    result = runner.run(EmbedJob(**options, output=str(tmp_path / "out"), model=str(tiny_clip)), spark)
    assert result["rows"]["unreadable"] == 2
    assert result["rows"]["out"] == 62
    rows = io.read(spark, str(tmp_path / "out")).collect()
    assert sum(row["embedding"] is None for row in rows) == 2
    small = EmbedJob(**options, output=str(tmp_path / "small"), model=str(tiny_clip), max_image_pixels=63)
    assert runner.run(small, spark)["rows"]["unreadable"] == 62
    with pytest.raises(InputError, match=r"holds binary, not strings\. Fix: choose a CLIP model"):
        runner.run(EmbedJob(**options, output=str(tmp_path / "no"), model=str(tiny_model)), spark)
    assert not (tmp_path / "no").exists()

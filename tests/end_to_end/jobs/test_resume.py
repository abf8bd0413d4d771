"""A rerun of a failed job takes the finished vectors from the slices. Its table is the one of an undisturbed run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from st_spark.jobs import runner
from st_spark.specs.row_jobs import EmbedJob
from st_spark.steps import resume
from st_spark.tables import io
from st_spark.tables.changes import TEXT_HASH
from st_spark.tables.writers import FolderWriter
from tests.support.word_checkpoints import write_static

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = 3_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_static(tmp_path_factory.mktemp("static") / "model"))


@pytest.fixture
def embed(spark: "SparkSession", tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(**options: Any) -> dict[str, Any]:
        fields = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "id_column": "id"}
        return runner.run(EmbedJob.from_fields(fields | options), spark)

    return run


def stored(spark: "SparkSession", where: Path) -> list[tuple[Any, ...]]:
    rows = io.read(spark, str(where)).collect()
    return sorted((row["id"], row[1], row[2], row["embedding"]) for row in rows)


def fail_to_publish(monkeypatch: pytest.MonkeyPatch, embed: Callable[..., dict[str, Any]], **options: Any) -> None:
    """Run a job whose disk is full as it writes the table, after all rows are encoded."""
    with monkeypatch.context() as patched:
        patched.setattr(FolderWriter, "write", Mock(side_effect=OSError("no space left")))
        with pytest.raises(OSError, match="no space left"):
            embed(**options)


@pytest.mark.parametrize("mode", ["error", "merge"])
def test_a_rerun_embeds_only_what_is_left(
    spark: "SparkSession", model: str, embed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    text = "CASE WHEN id % 50 = 7 THEN null WHEN id % 50 = 9 THEN 'a cat' ELSE concat('the dog ', id) END AS text"
    rows = spark.range(ROWS).selectExpr("id", text, "id * 2 AS price")
    job = {"model": model, "text_column": "text", "mode": mode}
    if mode == "merge":
        rows.where("id < 100").write.parquet(str(tmp_path / "in"))
        embed(**job)
        shutil.copytree(tmp_path / "out", tmp_path / "calm")
        before = stored(spark, tmp_path / "out")
    rows.write.mode("overwrite").parquet(str(tmp_path / "in"))
    wanted = embed(**job, output=str(tmp_path / "calm"))
    fail_to_publish(monkeypatch, embed, **job, slice_seconds=1)
    assert mode == "error" or stored(spark, tmp_path / "out") == before
    first, *_ = sorted(tmp_path.glob(".out.st-spark-resume-*/*/part-*"))
    first.unlink()
    rerun = embed(**job)
    assert wanted["rows"]["resumed"] == 0 < rerun["rows"]["resumed"] < ROWS
    assert 0 < rerun["tokens"] < wanted["tokens"] / 2
    assert rerun["rows"] | {"resumed": 0} == wanted["rows"]
    assert stored(spark, tmp_path / "out") == stored(spark, tmp_path / "calm")
    assert not list(tmp_path.glob(".*"))


def test_images_are_found_by_their_bytes(
    spark: "SparkSession",
    tiny_clip: Path,
    digit_images: "DataFrame",
    embed: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    digit_images.selectExpr("name AS id", "content", "length(content)").write.parquet(str(tmp_path / "in"))
    job = {"model": str(tiny_clip), "text_column": "content", "slice_seconds": 1}
    fail_to_publish(monkeypatch, embed, **job)
    rows = embed(**job)["rows"]
    assert (rows["resumed"], rows["out"], rows["unreadable"]) == (62, 62, 2)


@pytest.mark.parametrize("ascending", [True, False])
def test_a_text_with_several_results_has_one_in_any_order(spark: "SparkSession", ascending: bool) -> None:
    value = "struct(array(float(1.5), float(id)) AS embedding, id AS n_tokens, id > 0 AS duplicate)"
    rows = spark.range(4).selectExpr(f"'a' AS {TEXT_HASH}", f"{value} AS {resume.RESULT}", "id")
    known = rows.sort("id", ascending=ascending).coalesce(1)
    (row,) = resume._by_text(known).collect()
    assert row[1].asDict() == {"embedding": [1.5, 0.0], "n_tokens": 0, "duplicate": False}


def test_the_speed_is_measured_with_different_texts(spark: "SparkSession") -> None:
    rows = spark.range(200).selectExpr("if(id < 100, 'N/A', concat('text ', id)) AS text").coalesce(1)
    texts = [row["text"] for row in resume._sample(rows)]
    assert len(set(texts)) == len(texts) == 16

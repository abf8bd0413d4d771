"""The cluster job: tables, texts and images, the summary and the report."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from st_spark.cli import main
from st_spark.errors import InputError, TableError
from st_spark.jobs import runner
from st_spark.specs.pair_jobs import ClusterJob
from st_spark.specs.row_jobs import EmbedJob
from st_spark.tables import io
from tests.support.report_page import sections

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WORDS = ("sofa cat sleeps", "market shares fall", "rain wind storm")


def write_blobs(spark: "SparkSession", path: str, rows: int = 60) -> None:
    """Write a table of ids, texts and vectors around three axes; the last vector is null."""
    random = np.random.default_rng(0)
    blob = [number % 6 // 2 if number % 6 < 4 else number % 3 for number in range(rows)]
    vectors = (np.eye(3)[blob] + random.normal(scale=0.1, size=(rows, 3))).tolist()
    texts = [f"The {WORDS[of]} of today {number}" for number, of in enumerate(blob)]
    table = [*zip(range(rows), texts, vectors, strict=True), (rows, "The end", None)]
    spark.createDataFrame(table, "id bigint, text string, v array<float>").write.parquet(path)


def test_k_means_of_a_table_with_a_summary_and_a_report(spark: "SparkSession", tmp_path: Path) -> None:
    write_blobs(spark, str(tmp_path / "in"))
    job = ClusterJob(
        input=str(tmp_path / "in"),
        output=str(tmp_path / "out"),
        summary=str(tmp_path / "summary"),
        text_column="text",
        max_k=6,
        report=str(tmp_path / "r.html"),
    )
    held = set(spark.sparkContext._jsc.getPersistentRDDs())
    result = runner.run(job, spark)
    assert set(spark.sparkContext._jsc.getPersistentRDDs()) <= held
    assert result["input"]["set_aside"] == {"null": 1}
    assert (result["k"], result["method"], result["score"], result["seed"]) == (3, "kmeans", "cosine", 0)
    assert list(result["silhouettes"]) == [2, 3, 4, 5, 6]
    found = io.read(spark, job.output).collect()
    assert (len(found), result["clusters"]["all"], result["clusters"]["unclustered"]) == (60, 3, 0)
    summary = io.read(spark, str(job.summary)).orderBy("cluster").collect()
    assert [row["size"] for row in summary] == sorted((row["size"] for row in summary), reverse=True)
    assert result["clusters"]["largest"] == summary[0]["size"]
    medoids = {row["id"] for row in found if row["is_representative"]}
    assert {row["representative"] for row in summary} == medoids
    for row in summary:
        own = next(words for words in WORDS if words in row["text"])
        assert sorted(row["words"][:3]) == sorted(own.split())
        assert not {"the", "of", "today"} & set(row["words"])
    shown = sections(str(job.report))
    assert list(shown) >= ["What ran", "Time", "Inputs", "Sizes", "Number of clusters", "Map", "Largest clusters"]
    assert "could not be made" not in " ".join(shown.values())
    with pytest.raises(TableError, match="exists"):
        runner.run(job, spark)


def test_communities_by_the_command_line(
    spark: "SparkSession", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_blobs(spark, str(tmp_path / "in"))
    options = ["--method", "communities", "--threshold", "0.9", "--min-community-size", "12"]
    tables = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--report", str(tmp_path / "r.html")]
    assert main.main(["cluster", *tables, *options]) == 0
    printed = capsys.readouterr().out
    assert "60 rows in" in printed
    assert "a score of 0.9 or more, 12 rows or more; cosine, communities" in printed
    clusters = io.read(spark, str(tmp_path / "out"))
    assert clusters.where("is_representative").count() == 2  # the third blob has 10 rows
    assert "could not be made" not in " ".join(sections(str(tmp_path / "r.html")).values())
    with pytest.raises(InputError, match="max_pairs is 7"):
        runner.run(
            ClusterJob(input=str(tmp_path / "in"), output=str(tmp_path / "no"), method="communities", max_pairs=7)
        )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("embedded", [False, True])
def test_a_folder_of_images_becomes_a_contact_sheet(
    spark: "SparkSession", tiny_clip: Path, digits: Path, tmp_path: Path, embedded: bool
) -> None:
    source, model = str(digits), {"model": str(tiny_clip), "text_column": "content"}
    made = {"input": source, "input_format": "binaryFile", **model}
    if embedded:
        runner.run(EmbedJob(**made, output=str(tmp_path / "embedded")), spark)  # type: ignore[arg-type]
        made = {"input": str(tmp_path / "embedded")}
    page = str(tmp_path / "r.html")
    job = ClusterJob(**made, output=str(tmp_path / "out"), id_column="path", k=4, report=page)  # type: ignore[arg-type]
    result = runner.run(job, spark)
    assert (result["input"]["rows"], result["input"]["kept"]) == (62, 60)
    assert result["clusters"]["all"] == 4
    assert Path(page).read_text().count('<img src="data:image/jpeg;base64,') == 4
    shown = sections(page)
    assert "cluster 0:" in shown["Images"]
    assert "could not be made" not in " ".join(shown.values())
